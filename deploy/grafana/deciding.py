"""Panels of the dry side: what is decided, how quickly, and what accounts hold."""

from typing import Final

from graphs import COUNT, PER_SECOND, SECONDS, graph, now, quantile, rate_by
from prometheus_client import CollectorRegistry

from sidechain.agents.metrics import DryMetrics

DRY: Final = DryMetrics(CollectorRegistry())


DRY_ROW: Final = (
    graph(
        "Decisions by action",
        "Decisions committed per second. A change of the mix without a change of policy is news.",
        PER_SECOND,
        rate_by("action", DRY.decisions),
        stacked=True,
    ),
    graph(
        "Entries by kind",
        "Everything sealed per second: each input record has exactly one entry, of one of these kinds.",
        PER_SECOND,
        rate_by("kind", DRY.entries),
        stacked=True,
    ),
    graph(
        "Dead letters by reason",
        "Inputs per second that could not be decided. Anything above zero is a sender's mistake or ours.",
        PER_SECOND,
        rate_by("reason", DRY.dead_letters),
    ),
    graph(
        "Time per transaction",
        "From the first produce of a batch to its commit, beside the time to decide it without Kafka: the distance "
        "between the two is what the brokers cost.",
        SECONDS,
        quantile(0.5, DRY.transaction_seconds, "transaction p50"),
        quantile(0.99, DRY.transaction_seconds, "transaction p99"),
        quantile(0.99, DRY.fold_seconds, "deciding p99"),
    ),
    graph(
        "Input lag",
        "Input records not yet decided. Growing steadily: more comes in than is decided.",
        COUNT,
        now(DRY.lag, "not yet decided"),
    ),
    graph(
        "Lanes",
        "Shards being decided, and lanes that stand still: refused by their log, or after failing twice at one "
        "offset. A halted lane waits for a person.",
        COUNT,
        now(DRY.lanes, "deciding"),
        now(DRY.halted, "halted"),
    ),
    graph(
        "Takeovers by result",
        "Shards taken over per second, by how. Restored: after another owner; continued: came back unchanged; "
        "genesis: a new chain; failed: tried again. Gap and epoch: right behind what a person sealed with `sidechain "
        "repair`.",
        PER_SECOND,
        rate_by("result", DRY.takeovers),
        rate_by("kind", DRY.repairs),
        width=12,
    ),
    graph(
        "Signals read by decisions",
        "What decisions found where they asked the wet side: a value, or one of the ways of not knowing. Unknown is a "
        "value with a reason and stops nothing.",
        PER_SECOND,
        rate_by("found", DRY.signals),
        width=12,
        stacked=True,
    ),
)


BUDGETS_ROW: Final = (
    graph(
        "Reservations",
        "What decisions reserved in accounts per second, how reservations ended, settled by a cost or expired without "
        "one, and what was refused, by reason: exhausted is what limits are for, any other reason is a policy or a "
        "sender to look at. On the right the reservations that wait for their cost.",
        PER_SECOND,
        rate_by("what", DRY.reservations),
        rate_by("reason", DRY.refused_reservations),
        now(DRY.open_reservations, "open", right_axis=COUNT),
        width=24,
    ),
    graph(
        "Governance",
        "Requests answered per second, by answer, and costs the tripwire has seen, by what they did to it: a breach "
        "is far beyond what was held, downgraded the one too many; and whose cost was raised, by what. On the right "
        "the partitions whose requests are held at a part of their cost until costs are near their estimates again or "
        "a person recovers them.",
        PER_SECOND,
        rate_by("answer", DRY.governed),
        rate_by("event", DRY.tripwire),
        rate_by("multiplier", DRY.multipliers, "raised by {{multiplier}}"),
        now(DRY.downgraded, "partitions downgraded", right_axis=COUNT),
        width=24,
    ),
)
