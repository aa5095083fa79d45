"""Every command: its words, the function behind it, and the line it has in the help.

A new command is one line here. The function is imported only when its command is called, so `sidechain --help` and a
mistyped word answer at once.
"""

from typing import Final, NamedTuple


class Command(NamedTuple):
    """`target`: module below sidechain.agents.cli, a colon, the function."""

    target: str
    help: str


COMMANDS: Final[dict[str, Command]] = {
    "demo": Command("demo:demo", "Broker, both sides, real traffic, and the proof at the end."),
    "broker start": Command("broker:start", "Start the local Apache Kafka and wait until it serves."),
    "broker stop": Command("broker:stop", "End the local Apache Kafka."),
    "broker status": Command("broker:status", "Say whether the local Apache Kafka runs, and where."),
    "topics apply": Command("topics:apply", "Create the topics that are missing; refuse what would break a chain."),
    "topics show": Command("topics:show", "Compare the catalogue with what is on the cluster."),
    "config show": Command("config:show", "Print every setting and where it comes from."),
    "doctor": Command("doctor:doctor", "Check everything a run needs, and say what to do about what is missing."),
    "metrics send": Command("metrics_send:send", "Send the values of a metric to be scored as they come."),
    "metrics score": Command("metrics:score", "Say how unlike everything before it each value of a metric is."),
    "rekey": Command("rekey:rekey", "Copy an input topic to one keyed as the pack needs it, exactly once."),
    "worker dry": Command("worker:dry", "Decide: events in, sealed decisions out, exactly once."),
    "worker tap": Command("worker:tap", "Copy what was decided to the wet side, without what names anybody."),
    "worker wet": Command("worker:wet", "Score what was tapped and advise the next decision."),
    "worker shadow": Command("worker:shadow", "Decide once more under candidate policies, and say who would flip."),
    "shadow show": Command("shadow:show", "What candidate policies would have decided so far, and what that says."),
    "shadow propose": Command("shadow:propose", "Ask for a candidate to be put in force, with what its shadow found."),
    "proposals new": Command("proposals:new", "Ask for a policy to be put in force, with reasons and evidence."),
    "proposals list": Command("proposals:list_", "What was proposed, by whom, and what became of it."),
    "proposals show": Command("proposals:show", "Say what one proposal changes, why, and on what evidence."),
    "models list": Command("models:list_", "Models that were proposed, what their trials say, and who is champion."),
    "models show": Command("models:show", "Print a model card: data, figures, errors by segment, limits."),
    "models propose": Command("models:propose", "Ask for a model that was trained from files to become champion."),
    "models promote": Command("models:promote", "Put the model of a proposal in the champion's place."),
    "models retire": Command("models:retire", "Take the champion out of its place."),
    "worker aggregator": Command("worker:aggregator", "Learn from outcomes what many keys share, and tell."),
    "worker drift": Command("worker:drift", "Say when inputs, scores or metrics are not what they were."),
    "worker trainer": Command("worker:trainer", "Learn champions from outcomes, try them, and ask people."),
    "worker optimizer": Command("worker:optimizer", "Name what holds up the pipeline, and propose what would help."),
    "worker sentinel": Command("worker:sentinel", "Put alerts together to incidents, and tell of each once."),
    "optimizer show": Command("optimizer:show", "What every stage does at the moment, and what holds it up."),
    "convert": Command("convert:convert", "Turn raw data into events."),
    "generate": Command("generate:generate", "Make events of a pack up, with what became known of each."),
    "decide": Command("decide:decide", "Decide events without a broker."),
    "score": Command("score:score", "Score events without a broker: how unusual each is, and why."),
    "train": Command("train:train", "Learn a champion from exported decisions and outcomes, and try it."),
    "verify": Command("chain:verify", "Check every seal and every link of the chain."),
    "replay": Command("chain:replay", "Decide every entry anew and compare the bytes."),
    "account": Command("chain:account", "Count inputs against entries, partition by partition."),
    "export": Command("export:export", "Write the chains to files that need no cluster to be checked."),
    "prove": Command("prove:prove", "Prove one entry, or one history, to whoever has the root's public key."),
    "checkpoints": Command("prove:checkpoints_", "Print or keep the latest checkpoint of each chain."),
    "snapshot": Command("snapshot:snapshot", "Write what every partition remembers, for a replay to begin at."),
    "report": Command(
        "report:report", "What was decided in a period, counted from verified chains, as JSON or a page."
    ),
    "reconcile": Command("reconcile:reconcile_", "Hold what was settled against an invoice; every difference is told."),
    "repair": Command("repair:repair", "Seal a person's decision to go on where no worker may."),
    "explain": Command("chain:explain", "Say why one event was decided as it was."),
    "produce": Command("stream:produce", "Send events to the input topic."),
    "outcomes": Command("outcomes:outcomes", "Send what really happened to the partitions of its decisions."),
    "tail": Command("stream:tail", "Print a topic as a read_committed reader sees it."),
    "bench dry": Command("bench:dry", "Sealed decisions a second, beside a bare copy of the same records."),
    "bench latency": Command("bench:latency", "Milliseconds from the intended send time to a consumer."),
    "bench wet": Command("bench:wet", "What the wet side costs the dry side: throughput and p99, on, off and worse."),
    "bench verify": Command("bench:verify", "Entries checked a second, beside a plain SHA-256 pass."),
    "bench backtest": Command("bench:backtest", "Events a second that another policy is held against."),
    "bench kernel": Command("bench:kernel", "What budgets, lists and typologies cost a decision, on beside off."),
    "bench stream": Command("bench:stream", "Events through decide and verify as pipes: rate, head, memory."),
    "bench takeover": Command("bench:takeover", "Seconds until a worker has taken over a shard with many keys."),
    "keys new": Command("keys:new", "Make a root key or a worker's; nothing is overwritten."),
    "keys certify": Command("keys:certify", "Let the root key say which chains a worker's key may sign for."),
    "keys show": Command("keys:show", "Say what a key file or a certificate holds."),
    "lists check": Command("lists:check", "Read a list's rows as a pack declares it; every mistake with its line."),
    "lists propose": Command("lists:propose", "Ask for rows of a list to be put in force, with reasons."),
    "lists activate": Command("lists:activate", "Put the rows of a list in force, by name of who decided it."),
    "lists show": Command("lists:show", "What was activated, and which versions each partition last decided with."),
    "policy activate": Command("activate:activate", "Put a policy in force, by name of who decided it."),
    "policy measure": Command("measure:measure", "Precision and recall against labelled data."),
    "policy diff": Command("policy_diff:diff", "Say what changed between two policies, in words."),
    "policy backtest": Command("backtest:backtest_", "Say who would have been decided otherwise under another policy."),
    "policy check": Command("policy:check", "Type-check a pack; every mistake comes with its line and column."),
    "policy test": Command("policy:ask_cases", "Ask every rule about its own cases."),
    "policy show": Command("policy:show", "Print what a pack says."),
}

GROUPS: Final[dict[str, str]] = {
    "broker": "A real Apache Kafka on this machine, with nothing but pip.",
    "topics": "The topics of the catalogue, on the cluster.",
    "config": "The settings.",
    "keys": "The keys that sign checkpoints.",
    "lists": "Allow, deny and lookup lists that rules ask.",
    "policy": "Packs and the policies made of them.",
    "worker": "The processes that decide, listen, learn, compare and watch.",
    "proposals": "Changes that somebody asks for, with their evidence.",
    "metrics": "Series of a value over time.",
    "models": "What outcomes taught, and who decides that it is listened to.",
    "shadow": "Candidate policies beside the live chains.",
    "optimizer": "Where the pipeline is held up.",
    "bench": "Measurements.",
}
