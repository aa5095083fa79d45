"""What lets a stranger check a chain: a Merkle tree, signed checkpoints, certified keys, documents that hold a proof.

    merkle       the tree's frontier, and checking a path against a root
    paths        making such paths in one pass over a log
    note         text signed with Ed25519, as C2SP writes it
    checkpoint   what a worker signs: this chain had this many entries and this root
    ledger       a chain as its checkpoints state it: tree, totals, where its inputs stand
    certificate  what the root key signs: this worker key may sign for these chains
    chain_check  a chain beside its checkpoints, in one pass and constant memory
    bundle       one file that proves one entry, or that one checkpoint continues another

What is proved: who holds a checkpoint can be shown, with the root's public key and nothing else, that an entry stands
in the history it covers, and that a later history only appended to it. Nobody can change what a checkpoint you hold
covers without being found out.

What is not proved: that the decision was right or follows from its input (replay shows that); that every event
reached the log (the ledger compares them); that nobody else was shown another history, unless the two compare their
checkpoints; what stands behind the newest checkpoint; when anything was signed. Whoever holds the log and a worker key
can still rewrite what no one has seen.
"""
