"""The checkpoints of the demo's chains, checked as a stranger would: with the root's public key and nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

from sidechain.agents.checkpoints import read_record
from sidechain.agents.proof import Proof, Topics
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import note as notes
from sidechain.models.proof.merkle import Frontier
from sidechain.models.proof.note import Malformed, NotProved, VerifierKey


class Signed(NamedTuple):
    """The last checkpoint of one chain."""

    partition: int
    size: int
    root: str
    signed_by: str
    fault: str  # empty: it is signed by a certified key, and it is the chain's end


async def last_checkpoints(topics: Topics, root: VerifierKey, verified: Sequence[Proof]) -> list[Signed]:
    """One for each chain that has entries."""
    reader = await topics.reader("dry.checkpoints")
    found = []
    for proof in verified:
        if proof.entries:
            value = None
            async for records in reader.to_end([proof.partition]):
                value = records[-1].value
            found.append(_checked(proof, root, value))
    return found


def _checked(proof: Proof, root: VerifierKey, value: bytes | None) -> Signed:
    if value is None:
        return Signed(proof.partition, 0, "", "", "there is none")
    try:
        record = read_record(value)
        certified = certificates.verify(notes.parse(record.note), [notes.parse(record.certificate)], root)
        Frontier.load(certified.checkpoint.size, record.peaks, certified.checkpoint.root)
    except (NotProved, Malformed, ValueError) as why:
        return Signed(proof.partition, 0, "", "", str(why))
    stated, who = certified.checkpoint, certified.certificate
    is_end = (stated.size, stated.head) == (proof.entries, proof.head)
    fault = "" if is_end else f"the chain has {proof.entries:,} entries, head {(proof.head or '-')[:16]}"
    return Signed(proof.partition, stated.size, stated.root.hex(), f"{who.key.name}, certificate {who.serial}", fault)
