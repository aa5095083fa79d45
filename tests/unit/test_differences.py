"""What the wet side changed: every decision that differs without it, and every place where that cannot be told."""

import asyncio
import re
from collections.abc import Sequence

import msgspec

from sidechain.agents.differences import Differences, differences
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from sidechain.models.dry.program import SignalValue
from tests.in_memory import MemoryTopics
from tests.signed import EVENTS, POLICY

KEY = POLICY.event.role("key").name
INPUTS = [Line(offset, msgspec.json.decode(one)[KEY].encode(), one) for offset, one in enumerate(EVENTS[:30])]
LOUD = range(0, 30, 3)  # offsets of the events a high risk was known for


def decided(fold: Fold, first: int, last: int) -> list[bytes]:
    """The entries of these events, with what the wet side had said of some."""
    lines = []
    for one in INPUTS[first:last]:
        as_of = msgspec.json.decode(one.value)["at"]
        said = SignalValue(9_900, "m", as_of, 7) if one.offset in LOUD else None
        lines += [line for _, line in fold.events([one], lambda _key, said=said: said).entries]
    return lines


def epoch(partition: int, number: int, broken: bytes, offset: int, goes_on: int) -> tuple[Fold, bytes]:
    return Fold.begin_epoch(
        POLICY, partition, number, stated(broken, offset), {"events": goes_on}, at_ms=1, by="anna", why="a drill"
    )


def altered(line: bytes) -> bytes:
    """Of an event nobody has."""
    return re.sub(rb'(\["events",\d+,)\d+', rb"\g<1>999", line, count=1)


def asked(*chains: Sequence[bytes]) -> Differences:
    held = {
        "dry.decisions": {
            one: [Line(at, b"k", line) for at, line in enumerate(lines)] for one, lines in enumerate(chains)
        },
        "events": dict.fromkeys(range(len(chains)), INPUTS),
        "control": {0: []},
    }
    return asyncio.run(differences(MemoryTopics(held), POLICY))


def changed(found: Differences) -> list[tuple[int, str]]:
    return [(one.partition, one.id) for one in found.decisions]


def ids(*offsets: int) -> list[str]:
    return [msgspec.json.decode(EVENTS[one])["id"] for one in offsets]


def test_every_decision_the_wet_side_changed_is_named() -> None:
    found = asked(decided(Fold(POLICY, 0), 0, 30))
    assert found.faults == []
    assert changed(found) == [(0, one) for one in ids(*LOUD)]
    assert {one.without_signals for one in found.decisions} == {"allow"}
    assert "allow" not in {one.action for one in found.decisions}


def test_a_fault_hides_neither_a_later_epoch_nor_another_partition_nor_another_fault() -> None:
    """Each epoch's first is told; what follows it there is not compared, what a person began behind it is."""
    first = decided(Fold(POLICY, 0), 0, 10)
    first[4] = altered(first[4])
    fold, opening = epoch(0, 1, first[-1], 9, 10)
    second = decided(fold, 10, 20)
    second[7] = b"not json"
    fold, again = epoch(0, 2, second[-1], 20, 20)
    third = decided(fold, 20, 30)
    other = decided(Fold(POLICY, 1), 0, 30)
    other[29] = altered(other[29])
    found = asked([*first, opening, *second, again, *third], other)
    assert [one.partition(": ")[0] for one in found.faults] == ["partition 0", "partition 0", "partition 1"]
    assert ["its input is gone" in one for one in found.faults] == [True, False, True]
    expected = [one for one in LOUD if one not in range(4, 10) and one not in range(17, 20)]
    assert changed(found) == [*((0, one) for one in ids(*expected)), *((1, one) for one in ids(*LOUD))]


def test_a_chain_under_a_policy_nobody_has_is_told_like_any_other_fault() -> None:
    lines = decided(Fold(POLICY, 0), 0, 30)
    unknown = [line.replace(POLICY.ref.encode(), b"web@9:000000000000") for line in lines]
    found = asked(unknown, decided(Fold(POLICY, 1), 0, 30))
    assert len(found.faults) == 1
    assert "nobody here has the text of the policy" in found.faults[0]
    assert changed(found) == [(1, one) for one in ids(*LOUD)]
