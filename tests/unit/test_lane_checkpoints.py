"""The books a lane keeps: what it signs is what a program says that counts the committed entries from scratch."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.agents.checkpoints import Keys, origin_of
from sidechain.agents.config import load
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.pipeline import Output
from sidechain.agents.lane.signed import Books
from sidechain.agents.problems import UsageProblem
from sidechain.models.dry import Fold
from sidechain.models.proof import note as notes
from sidechain.models.proof.checkpoint import Checkpoint, Origin, parse
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.merkle import Frontier
from tests.checkpoints import recounted
from tests.proofs import OLD, ROOT, certificate
from tests.support import event, feature, policy, records

NOTE = certificate(scopes=["sidechain/web"])
POLICY = policy(features=[feature("seen", "count", "1m")])


def keys(note: notes.Note = NOTE) -> Keys:
    from sidechain.models.proof.certificate import in_force

    [found] = in_force([note], ROOT.verifier)
    return Keys(OLD, found, note, ROOT.verifier)


def books(*partitions: int, note: notes.Note = NOTE, every_s: float = 0.0) -> Books:
    """Books of chains that have not begun."""
    origins = {one: Origin("web", one, 0) for one in partitions}
    return Books(keys(note), origins, {one: Ledger() for one in partitions}, dict.fromkeys(partitions, 0), every_s)


def chain(partition: int, count: int) -> list[bytes]:
    """A real chain: decisions, duplicates and what is rejected."""
    events = [b"junk" if n % 7 == 3 else event(n - (n % 5 == 4)) for n in range(count)]
    return [line for _, line in Fold(POLICY, partition).events(records(events)).entries]


LINES = {partition: chain(partition, 120) for partition in (0, 1)}


def output(partition: int, lines: Sequence[bytes]) -> Output:
    return Output(partition, [(b"k", line) for line in lines], [], [])


def stated(value: bytes) -> Checkpoint:
    record = msgspec.json.decode(value)
    found = parse(notes.parse(record["note"]).text)
    Frontier.load(found.size, record["peaks"], found.root)
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["commit", "wait", "fail"])), max_size=12
    )
)
def test_what_is_signed_is_what_was_committed(turns: list[tuple[int, int, str]]) -> None:
    """However entries fall into batches, up to two of which are under way, and whichever of them never arrive.

    A failure throws the books away, as a lane does: the next ones begin at the last checkpoint and read what is behind.
    """
    ours, log = books(0, 1), {0: 0, 1: 0}
    under_way: list[Any] = []
    signed: dict[int, list[Checkpoint]] = {0: [], 1: []}
    peaks: dict[int, bytes] = {}

    def sign() -> None:
        for one in ours.due():
            found = stated(one.value)
            assert found == recounted(LINES[one.partition][: log[one.partition]], found)
            assert found.size == log[one.partition], "what is not committed is not signed"
            signed[one.partition].append(found)
            peaks[one.partition] = one.value

    def commit() -> None:
        twins, ends = under_way.pop(0)
        ours.commit(twins)
        log.update(ends)

    tip = dict(log)
    for *sizes, end in turns:
        sign()
        taken = {one: LINES[one][tip[one] : tip[one] + size] for one, size in enumerate(sizes) if size}
        tip = {one: tip[one] + len(taken.get(one, ())) for one in tip}
        under_way.append((ours.grow([output(one, lines) for one, lines in taken.items()]), dict(tip)))
        if end == "fail":
            under_way.clear()
            tip = dict(log)
            ours = _reopened(log, signed, peaks)
        while under_way and (end == "commit" or len(under_way) > 1):
            commit()
    while under_way:
        commit()
    sign()
    assert not ours.due(last=True)
    for partition, found in signed.items():
        assert [one.size for one in found] == sorted({one.size for one in found}), "a size is signed once"
        assert (found[-1].size if found else 0) == log[partition]


def _reopened(log: dict[int, int], signed: dict[int, list[Checkpoint]], values: dict[int, bytes]) -> Books:
    ledgers, sizes = {}, {}
    for one in log:
        ledger = Ledger()
        if signed[one]:
            ledger = Ledger.load(signed[one][-1], msgspec.json.decode(values[one])["peaks"])
        sizes[one] = ledger.size
        ledger.extend(LINES[one][ledger.size : log[one]])
        ledgers[one] = ledger
    return Books(keys(), {one: Origin("web", one, 0) for one in log}, ledgers, sizes, 0.0)


def test_between_two_checkpoints_of_a_partition_time_passes() -> None:
    """Unless they are the last for now; and a partition without news has none."""
    ours = books(0, 1, every_s=3_600)
    ours.commit(ours.grow([output(0, LINES[0][:3])]))
    assert [(one.partition, stated(one.value).size) for one in ours.due()] == [(0, 3)]
    ours.commit(ours.grow([output(0, LINES[0][3:5])]))
    assert not ours.is_due()
    assert ours.due() == []
    assert [stated(one.value).size for one in ours.due(last=True)] == [5]
    assert ours.due(last=True) == []


@pytest.mark.parametrize("partition", [0, 1])
def test_one_partition_with_news_is_reason_enough(partition: int) -> None:
    """Whichever it is: an idle lane asks before it begins a transaction for checkpoints alone."""
    ours = books(0, 1)
    assert not ours.is_due()
    ours.commit(ours.grow([output(partition, LINES[partition][:3])]))
    assert ours.is_due()
    assert ours.is_due(last=True)
    assert [one.partition for one in ours.due()] == [partition]
    assert not ours.is_due(last=True)


def test_a_certificate_that_runs_out_ends_checkpoints_and_not_decisions(caplog: pytest.LogCaptureFixture) -> None:
    """It says so once."""
    ours = books(0, note=certificate(scopes=["sidechain/web 0..4"]))
    for size in (4, 8, 12):
        ours.commit(ours.grow([output(0, LINES[0][size - 4 : size])]))
        assert [stated(one.value).size for one in ours.due()] == ([4] if size == 4 else [])
    assert caplog.text.count("partition 0 gets no checkpoint any more, decisions go on") == 1


def test_a_ledger_is_not_loaded_from_totals_that_are_another_chains() -> None:
    """Peaks, size and totals belong together."""
    ledger = Ledger()
    ledger.extend(LINES[0][:9])
    right = ledger.checkpoint(Origin("web", 0, 0))
    assert Ledger.load(right, ledger.frontier.dump()).totals() == ledger.totals()
    totals = {**right.totals, "decision": right.totals["decision"] + 1}
    wrong = Checkpoint(origin=right.origin, size=right.size, root=right.root, head=right.head, totals=totals)
    with pytest.raises(ValueError, match="the totals come to 10 entries, and the size is 9"):
        Ledger.load(wrong, ledger.frontier.dump())
    headless = Checkpoint(origin=right.origin, size=right.size, root=right.root, totals=right.totals)
    with pytest.raises(ValueError, match="does not state the head"):
        Ledger.load(headless, ledger.frontier.dump())


@pytest.mark.parametrize(
    ("events", "outcomes", "control", "entries", "says"),
    [
        (3, 0, 0, 3, ""),
        (3, 0, 0, 2, "was given 3 events, 0 outcomes and 0 control records, and has 2 entries"),
        (3, 0, 0, 4, "and has 4 entries"),
        (0, 0, 0, 1, "and has 1 entries"),
        (2, 0, 1, 2, ""),  # naming what is in force makes no entry
        (2, 0, 1, 1, "and has 1 entries, 0 of them of control"),
        (3, 2, 0, 3, "was given 3 events, 2 outcomes and 0 control records, and has 3 entries"),
        (2, 1, 0, 3, "was given 2 events, 1 outcomes"),  # as many, and an outcome has none
    ],
)
def test_inputs_and_entries_are_balanced_before_anything_is_written(events, outcomes, control, entries, says) -> None:
    """One entry for each event and outcome of a partition, one at most for each control record."""
    batch = Batch({0: None}, {0: [None] * events}, [None] * control, {}, None, None, outcomes={0: [None] * outcomes})  # type: ignore[arg-type,dict-item,list-item]
    outputs = [output(0, LINES[0][:entries])] if entries else []
    assert says in batch.unaccounted(outputs)
    assert bool(batch.unaccounted(outputs)) == bool(says)


def test_entries_of_outcomes_count_apart() -> None:
    of_outcomes = b'{"v":1,"seq":0,"prev":"x","kind":"settlement","source":["outcomes",0,0],"hash":"x"}'
    batch = Batch({0: None}, {0: [None]}, [], {}, None, None, outcomes={0: [None]})  # type: ignore[arg-type,dict-item,list-item]
    assert batch.unaccounted([output(0, [*LINES[0][:1], of_outcomes])]) == ""
    assert "was given 1 events, 1 outcomes" in batch.unaccounted([output(0, [of_outcomes, of_outcomes])])


def test_entries_of_control_count_apart() -> None:
    """Two of them for one control record is one too many."""
    of_control = b'{"v":1,"seq":0,"prev":"x","kind":"policy","source":["control",0,0],"hash":"x"}'
    batch = Batch({0: None}, {}, [SimpleNamespace()], {}, None, None)  # type: ignore[arg-type,dict-item,list-item]
    assert batch.unaccounted([output(0, [of_control])]) == ""
    assert "2 of them of control" in batch.unaccounted([output(0, [of_control, of_control])])
    assert "not of this shard" in batch.unaccounted([output(4, [of_control])])


@pytest.mark.parametrize(
    ("prefix", "log"),
    [(None, "sidechain.web"), ("shop.", "shop"), ("shop-a", "shop-a"), ("", "web")],
)
def test_a_chain_is_named_by_its_topics_prefix(prefix: str | None, log: str) -> None:
    """Without its last dot; where there is none, by the pack."""
    config = load({"pack": "web", "prefix": prefix}, environ={}).config
    if prefix is None or prefix:
        assert str(origin_of(config, 3, 1)) == f"sidechain/{log}/3/epoch-1"


def test_a_prefix_that_cannot_name_a_chain_is_refused() -> None:
    """In a sentence, before anything is signed."""
    config = load({"pack": "web", "prefix": "_x."}, environ={}).config
    with pytest.raises(UsageProblem, match="cannot name a chain in a checkpoint"):
        origin_of(config, 0, 0)
