"""The books of a partition: each way in which events and entries can disagree, and none where they agree."""

from hashlib import sha256

import pytest

from sidechain.models.dry import Line
from sidechain.models.dry.completeness import Booked, Completeness, Passage


def event(offset: int, value: bytes | None = b"e") -> Line:
    return Line(offset, b"k", value)


def entry(offset: int, kind: str = "decision", value: bytes | None = b"e") -> Booked:
    digest = None if value is None else sha256(value).hexdigest()
    return Booked(kind=kind, seq=0, source=("events", 0, offset), digest=digest)


GAP = Booked(kind="gap", seq=0, topic="events", to=5)
BACK = Booked(kind="gap", seq=0, topic="events", to=1)
FIFTH = Booked(kind="epoch", seq=0, next={"events": 5})
EPOCH = Booked(kind="epoch", seq=0, next={"events": 2})


def books(entries: list[Booked], events: list[Line], batch: int = 2) -> Completeness:
    """Both logs, read as a caller reads them."""
    found = Completeness({0: event(0, b"policy")})
    source = iter(events)

    def more() -> list[Line]:
        return [one for _, one in zip(range(batch), source, strict=False)]

    for one in entries:
        if found.turns(one):
            source = (late for late in events if late.offset >= found.due)
        while found.lacks(one):
            read = more()
            found.feed(read) if read else found.end()
        found.take(one)
    while read := more():
        found.rest(read)
    found.rest()
    return found


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(
    ("entries", "events", "wrong"),
    [
        ([], [], {}),
        ([entry(0), entry(1), entry(2)], [event(0), event(1), event(2)], {}),
        ([entry(0), entry(4)], [event(0), event(4)], {}),  # markers lie between them
        ([entry(0), entry(2)], [event(0), event(1), event(2)], {"missing": [1]}),
        ([entry(2)], [event(0), event(1), event(2)], {"missing": [0, 1]}),
        ([entry(0), entry(0)], [event(0)], {"repeated": [0]}),
        ([entry(1), entry(0)], [event(0), event(1)], {"missing": [0], "repeated": [0]}),
        ([entry(0), entry(1), entry(2)], [event(0), event(2)], {"extra": [1]}),
        ([entry(0), entry(1)], [event(0)], {"extra": [1]}),
        ([entry(0)], [event(0, b"other")], {"altered": [0]}),
        ([entry(0, value=None)], [event(0, None)], {}),
        ([entry(0, value=None)], [event(0, b"")], {"altered": [0]}),
        ([entry(0), entry(1)], [event(1)], {"expired": 1}),
        ([entry(0)], [event(0), event(1), event(3)], {"waiting": 2}),
        (
            [entry(0), GAP, entry(5)],
            [event(0), event(1), event(5)],
            {"explained": 1},
        ),  # what a person passed over is not missing
        ([entry(0), entry(1), entry(2), BACK, entry(1)], [event(1)], {"expired": 1}),  # of a log that was replaced
        ([entry(0), entry(3), BACK, entry(1)], [event(0), event(1)], {}),
        ([entry(0), entry(3), entry(1)], [event(0), event(1)], {"missing": [1], "extra": [3], "repeated": [1]}),
        ([entry(0), FIFTH, entry(5)], [event(0), event(1), event(2), event(5)], {"explained": 2}),
        ([FIFTH, entry(6)], [event(0), event(5), event(6)], {"explained": 1, "missing": [5]}),
        ([entry(0), entry(1), entry(2), EPOCH, entry(2)], [event(0), event(1), event(2)], {}),  # decided once more
        ([Booked(kind="policy", seq=0, source=("control", 0, 0), digest="ab")], [], {"altered_control": [0]}),
    ],
)
def test_entries_and_events_are_compared_offset_by_offset(entries, events, wrong, batch) -> None:
    found = books(entries, events, batch)
    names = ("missing", "repeated", "extra", "altered", "altered_control", "expired", "waiting", "explained")
    assert {name: getattr(found, name) for name in names if getattr(found, name)} == wrong
    assert found.is_complete == (not wrong.keys() - {"expired", "waiting", "explained"})
    assert found.events == len(events), "each counts once, however often it was read"


WEB = "web@1:aaaaaaaaaaaa"
NEXT = "web@2:bbbbbbbbbbbb"


def policy_record(offset: int, digest: str, name: str = "web", kind: str = "policy") -> Line:
    text = '{"kind":"%s","name":"%s","version":1,"digest":"%s","by":"anna","at":1,"text":""}'
    return event(offset, (text % (kind, name, digest * 64)).encode())


@pytest.mark.parametrize(
    ("between", "missing"),
    [
        (policy_record(1, "c"), [1]),
        (policy_record(1, "a"), []),  # in force until then
        (policy_record(1, "b"), [1]),  # in force only from then on
        (policy_record(1, "c", name="other"), []),
        (policy_record(1, "c", kind="note"), []),
        (event(1, b"junk"), [1]),  # a rejection is due
        (event(1, None), [1]),
        (policy_record(7, "c"), []),  # behind the last entry of a control record: perhaps not read yet
    ],
)
def test_a_control_record_that_must_make_an_entry_is_missed_once_a_later_one_has_its_own(between, missing) -> None:
    """Judged from the records alone: the policy in force until then is what the later entry states."""
    found = Completeness({between.offset: between})
    found.take(Booked(kind="policy", seq=0, source=("control", 0, 5), digest="", policy=NEXT, previous=WEB))
    assert found.missing_control == missing
    assert found.is_complete == (not missing)


def test_what_counts_for_nothing_is_counted_and_ends_with_an_epoch() -> None:
    found = Completeness()
    found.pass_over("junk", None)
    found.pass_over("behind it", "rejected")
    assert (found.broken, found.is_complete) == ("junk", False)
    found.end()
    found.take(Booked(kind="epoch", seq=0, epoch=3, by="anna", next={"events": 4}))
    assert (found.passed_over, found.rejected_passed_over, found.is_complete) == (2, 1, True)
    assert found.passages == [Passage("epoch 3", "anna", 0, 4, 2)]


def test_only_the_first_faults_are_kept() -> None:
    found = books([entry(10_000)], [event(one) for one in range(10_001)])
    assert found.missing == list(range(10))
