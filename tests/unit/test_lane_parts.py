"""The parts of a lane that need no Kafka: what the wet side is believed, what is counted, how failures are sorted."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    ProducerFenced,
)
from prometheus_client import CollectorRegistry

from sidechain.agents.dry.decider import decide_batch
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.layout import Layout, check_layout, count_alike
from sidechain.agents.lane.metadata import MetadataTable
from sidechain.agents.lane.outcomes import Forward
from sidechain.agents.lane.pipeline import Committed, Output
from sidechain.agents.lane.problems import Refused, Revoked, is_fenced, is_passing
from sidechain.agents.lane.standing import Standing
from sidechain.agents.lane.tally import count
from sidechain.agents.metrics import MULTIPLIERS, DryMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.dry.entry import stated
from sidechain.models.policy import Signal
from tests.desk import Desk
from tests.support import event, policy, records, rule
from tests.unit.test_fold_governance import POLICY as GOVERNED


def said(key: bytes | None, value: bytes | None, offset: int = 0) -> Any:
    return SimpleNamespace(key=key, value=value, offset=offset)


GOOD = b'{"key":"k","risk_bp":8700,"level":"raised","model":"forest-3:ab12cd34","as_of":5,"expires_at":9,"reasons":[]}'


def test_metadata_is_the_latest_of_its_key() -> None:
    """The name function turns an event's key into the one the wet side uses."""
    table = MetadataTable(lambda key: f"p:{key}")
    table.take([said(b"p:k", GOOD, 3), said(b"p:k", GOOD.replace(b"8700", b"100"), 4), said(b"k", GOOD, 5)])
    assert table.latest("k") == SignalValue(100, "forest-3:ab12cd34", 5, 4)
    table.take([said(b"p:k", None, 6)])
    assert table.latest("k") is None


@pytest.mark.parametrize(
    "value",
    [
        b"not json",
        b"\xff\xfe",
        b"[]",
        b'{"risk_bp":8700,"as_of":5}',
        b'{"risk_bp":8700.5,"model":"m","as_of":5}',
        b'{"risk_bp":"8700","model":"m","as_of":5}',
        b'{"risk_bp":null,"model":"m","as_of":5}',
        b'{"risk_bp":99999999999999999999999,"model":"m","as_of":5}',
        b'{"risk_bp":1,"model":"m","as_of":-99999999999999999999999}',
        b'{"risk_bp":1,"as_of":5,"model":"' + b"m" * 129 + b'"}',
    ],
)
def test_lies_are_passed_over(value: bytes) -> None:
    """What the wet side says ends up in sealed entries: every number and length is bounded. Counted, and forgotten."""
    table = MetadataTable(str)
    table.take([said(b"k", GOOD, 1), said(b"k", value, 2)])
    assert table.latest("k") is None
    assert (table.read, table.unreadable) == (2, 1)


def test_the_table_is_bounded() -> None:
    """The key heard of longest ago goes first; keys too long for an event are never kept."""
    table = MetadataTable(str, max_keys=2)
    table.take([said(name, GOOD) for name in (b"a", b"b", b"a", b"c", b"x" * 1_025)])
    assert [table.latest(name) is not None for name in "abc"] == [True, False, True]
    table.take([said(None, GOOD)])
    assert (len(table), table.unreadable, table.forgotten) == (2, 2, 1)


@pytest.mark.parametrize(
    ("fault", "fenced", "passing"),
    [
        (ProducerFenced(), True, False),
        (InvalidProducerEpoch(), True, False),
        (KafkaConnectionError(), False, True),
        (NotEnoughReplicasError(), False, True),
        (TimeoutError(), False, True),
        (EnvironmentProblem("a transaction stays open"), False, True),
        (Refused("the chain was deleted"), False, False),
        (Revoked("the group has moved on"), False, False),
        (MessageSizeTooLargeError(), False, False),
        (ZeroDivisionError(), False, False),
    ],
)
def test_failures_are_sorted_by_what_comes_next(fault: Exception, fenced: bool, passing: bool) -> None:
    """Fenced: ask the log. Passing: try again. Neither: look for the record, or end."""
    assert (is_fenced(fault), is_passing(fault)) == (fenced, passing)


def test_a_fence_is_seen_behind_the_error_it_causes() -> None:
    """aiokafka wraps what its sender meets."""
    fault = KafkaError("Unexpected error during batch delivery")
    fault.__cause__ = InvalidProducerEpoch()
    assert is_fenced(fault)
    assert not is_fenced(KafkaError("Unexpected error during batch delivery"))


def counted(registered: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registered.get_sample_value(f"sidechain_{name}", labels)


def test_counting_reads_the_entries_themselves() -> None:
    """Texts that look like fields are escaped in an entry, so they count for nothing."""
    registered = CollectorRegistry()
    metrics = DryMetrics(registered)
    signals = (Signal(name="risk", max_age_ms=1_000),)
    fold = Fold(policy(rules=[rule("many", "event.n > 5", "review", 2_500)], signals=signals), 0)
    lies = ',"action":"block","kind":"policy",{"unknown":"stale"},"model":"'
    events = [event(1, n=1), event(2, n=9, s=lies), event(3, n=1, id=f"x{lies}"), event(1, n=1)]
    value = SignalValue(100, "m", events[0]["at"], 7)
    folded = fold.events([*records(events), *_rejected(len(events))], lambda _: value)
    count(metrics, Committed([Output(0, folded.entries, [], folded.dead_letters)], 0.01, 0.02))
    kinds = {kind: counted(registered, "entries_total", kind=kind) for kind in ("decision", "duplicate", "rejected")}
    assert kinds == {"decision": 3, "duplicate": 1, "rejected": 1}
    assert counted(registered, "decisions_total", action="review") == 1
    assert counted(registered, "decisions_total", action="block") == 0
    # Said at the time of the first event, good for a second: the third event finds it stale.
    found = [counted(registered, "signals_total", found=state) for state in ("value", "stale", "absent")]
    assert found == [2, 1, 0]
    assert counted(registered, "dead_letters_total", reason="not-json") == 1


def test_settlements_and_refusals_are_counted_and_so_is_what_was_sent_on() -> None:
    registered = CollectorRegistry()
    fold = Fold(policy(), 0)
    fold.events(records([event(1)]))
    said = [
        b'{"id":"e-1","at":1,"label":"bad","by":",\\"kind\\":\\"policy\\",\\"reason\\":\\"too-late\\""}',
        b'{"id":"e-1","at":1,"label":"bad"}',
        b'{"id":"e-1","at":1,"label":"bad","partition":3}',
        b"junk",
    ]
    folded = fold.outcomes([SimpleNamespace(offset=at, key=b"h", value=value) for at, value in enumerate(said)])
    forwarded = [Forward(3, b"h", said[2], ())]
    output = Output(0, folded.entries, [], folded.dead_letters, forwarded)
    count(DryMetrics(registered), Committed([output], 0.01, 0.02))
    kinds = {kind: counted(registered, "entries_total", kind=kind) for kind in ("settlement", "refused-outcome")}
    assert kinds == {"settlement": 1, "refused-outcome": 3}
    reasons = ("already-settled", "wrong-partition", "unreadable", "too-late")
    assert [counted(registered, "outcomes_refused_total", reason=one) for one in reasons] == [1, 1, 1, 0]
    assert counted(registered, "outcomes_forwarded_total") == 1
    assert counted(registered, "dead_letters_total", reason="not-json") == 1


def test_what_accounts_held_and_refused_is_counted() -> None:
    """From the bytes; what an id pretends is not counted."""
    registered = CollectorRegistry()
    fold = Fold(policy(budgets=BUDGETS), 0, partitions=1)
    lies = '"how":"expired",{"reason":"owing",'
    given = [event(1, n=3), event(2, n=9, id=lies), event(3, n=2), event(20, n=1)]
    entries = fold.events(records(given)).entries
    said = SimpleNamespace(offset=0, key=b"h", value=b'{"id":"e-20","at":1,"cost_minor":1}')
    entries += fold.outcomes([said]).entries
    count(DryMetrics(registered), Committed([Output(0, entries, [], [])], 0.01, 0.02))
    found = {one: counted(registered, "reservations_total", what=one) for one in ("reserved", "settled", "expired")}
    assert found == {"reserved": 3, "settled": 1, "expired": 2}
    refused = [counted(registered, "reservations_refused_total", reason=one) for one in ("exhausted", "owing")]
    assert refused == [1, 0]


def test_what_governance_said_is_counted() -> None:
    """Answers of decisions and events of settlements; what a scenario pretends is not counted."""
    registered = CollectorRegistry()
    desk = Desk(GOVERNED)
    lies = ',"governed":{"answer":"refuse"'
    desk.event(1_000, parts=1, entropy=0, risk=0, urgent=False, prompt=lies)
    desk.event(90_000, parts=1, entropy=0, risk=0, urgent=False, prompt="b")
    desk.event(1_000, parts=1, entropy=0, risk=0, urgent=True, prompt='["trust",')
    for cost in (1_000, 5_000):
        asked = desk.event(1_000, parts=1, entropy=0, risk=0, urgent=False, prompt=f"c{cost}")
        desk.outcome(asked["id"], cost)
    count(DryMetrics(registered), Committed([Output(0, [(None, one) for one in desk.lines], [], [])], 0.01, 0.02))
    entries = [json.loads(line)["budget"]["governed"] for line in desk.lines]
    for name, label, value in (
        ("governance_answers_total", "answer", "approve"),
        ("governance_answers_total", "answer", "manual"),
        ("governance_answers_total", "answer", "refuse"),
        ("tripwire_costs_total", "event", "calm"),
        ("tripwire_costs_total", "event", "breach"),
    ):
        found = counted(registered, name, **{label: value})
        assert found == sum(one.get(label) == value for one in entries), value
    for name in MULTIPLIERS:
        found = counted(registered, "governance_multipliers_total", multiplier=name)
        assert found == sum(name in dict(one.get("multipliers", ())) for one in entries), name
    assert counted(registered, "governance_multipliers_total", multiplier="emergency") == 1
    assert counted(registered, "governance_answers_total", answer="approve") > 0
    assert counted(registered, "tripwire_costs_total", event="breach") == 1


BUDGETS = """
timeout: 10s
accounts: [{name: host_hour, unit: EUR, period: 1h, per: event.host, limit: 6}]
reserve: [{account: host_hour, amount: event.n}]
"""


def _rejected(offset: int) -> list[Any]:
    return [SimpleNamespace(offset=offset, key=b"h", value=b"not json")]


@pytest.mark.parametrize(
    ("counts", "result"),
    [
        ({"e": 4, "d": 4}, 4),
        ({"e": 4, "d": 4, "m": 4}, 4),
        ({"e": 4, "d": 8}, "the same number of partitions"),
        ({"e": 4, "d": 4, "m": 2}, "the same number of partitions"),
        ({"e": 4}, "d does not exist"),
    ],
)
def test_co_partitioned_topics_agree(counts: dict[str, int], result: int | str) -> None:
    """A topic of the wet side may be missing, but not differ."""
    required, optional = {"events": "e", "dry.decisions": "d"}, {"wet.metadata": "m"}
    if isinstance(result, int):
        assert count_alike(counts, required, optional) == result
    else:
        with pytest.raises(Refused, match=result):
            count_alike(counts, required, optional)


def test_the_layout_is_for_ever() -> None:
    """The same numbers pass; any other number names the partition that was begun otherwise."""
    ours = Layout(partitions=4, shard_size=4)
    check_layout([(0, ours), (3, ours)], ours)
    with pytest.raises(Refused, match="partition 3 was begun with 8 partitions in shards of 4"):
        check_layout([(0, ours), (3, Layout(partitions=8, shard_size=4))], ours)


def test_a_chain_says_whether_a_person_had_the_last_word() -> None:
    """By the kind alone: an event whose id reads like one changes nothing."""
    fold = Fold(policy(), 0)
    decided = [line for _, line in fold.events(records([event(1, id='","kind":"epoch"')])).entries]
    gap = fold.gap("events", 7, at_ms=1, by="anna", why="a drill")
    _, epoch = Fold.begin_epoch(policy(), 0, 1, stated(gap, 1), {"events": 7}, at_ms=1, by="anna", why="a drill")
    tails = [[], decided, [*decided, gap], [gap, epoch], [gap, *decided]]
    assert [Standing(one).repair for one in tails] == [None, None, "gap", "epoch", None]


class Failing:
    """A fold that fails on the control record at one offset, and on every event."""

    def __init__(self, at: int) -> None:
        self.at = at

    def control(self, record: Any, _load: Any, _rows: Any) -> Any:
        if record.offset == self.at:
            raise ZeroDivisionError
        return SimpleNamespace(entries=[], dead_letters=[])

    def events(self, *_: Any) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("fails_at", "control", "events", "named"),
    [
        (6, (5, 6, 7), 3, 6),  # control records are obeyed one by one
        (5, (5,), 0, 5),
        (9, (5, 6), 3, None),  # one of the events is at fault: smaller batches find it
        (9, (5,), 1, None),
        (9, (), 1, 0),
    ],
)
def test_the_record_at_fault_is_named_where_it_is_known(fails_at, control, events, named) -> None:
    """Without looking for it: a lane that has its name tries it once more, and ends."""
    batch = Batch(
        {0: Failing(fails_at)},  # type: ignore[dict-item]
        {0: [SimpleNamespace(offset=one) for one in range(events)]},  # type: ignore[list-item]
        [SimpleNamespace(offset=one) for one in control],  # type: ignore[list-item]
        {0: None},  # type: ignore[dict-item]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )
    with pytest.raises(ZeroDivisionError):
        asyncio.run(decide_batch(batch))
    assert (None if batch.only is None else batch.only.offset) == named
