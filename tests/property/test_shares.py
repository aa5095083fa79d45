"""Learned shares against a dumber program: a list of every outcome, filtered anew for every question."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.cel import STRING, Variable, check
from sidechain.models.policy import Learn, Policy, Signal
from sidechain.models.wet.aggregate import Became, Case, Shares, Word
from tests.support import T0, policy

PANE_MS = 1_000
PANES = 4
STEP_MS = 3_000
DOORS = ("east", "west", "roof")


def learning(horizon: int = 512, **learn: Any) -> Policy:
    """A policy that learns how often a door's events were bad, over four panes of a second."""
    of = check("event.s", {"event.s": Variable(STRING, unknown=True)}, expect=STRING)
    how = Learn(**{"share": "bad", "window_ms": PANES * PANE_MS, "panes": PANES, **learn})
    one = policy(signals=[Signal(name="door_risk", max_age_ms=60_000, of=of, learn=how)], max_step_ms=STEP_MS)
    return replace(one, event=replace(one.event, duplicate_horizon=horizon))


class Dumb:
    """Remembers everything, looks at everything."""

    def __init__(self, horizon: int, least: int) -> None:
        self.horizon, self.least = horizon, least
        self.decided: dict[int, list[tuple[int, str | None]]] = {}  # partition -> (seq, door) of what is open
        self.now: int | None = None
        self.counted: list[tuple[str, int, bool]] = []  # door, pane, bad
        self.offsets: dict[int, int] = {}

    def take(self, partition: int, case: Case) -> Became:
        if case.offset <= self.offsets.get(partition, -1):
            return "repeated"
        self.offsets[partition] = case.offset
        open_ = self.decided.setdefault(partition, [])
        if case.label is None:
            now = self.now
            self.now = case.at if now is None else max(now, min(case.at, now + STEP_MS))
            open_.append((case.seq, (case.of or {}).get("door_risk")))
            return "decision"
        last = max((seq for seq, _ in open_), default=0)
        door = next((door for seq, door in open_ if seq == case.seq and seq > last - self.horizon), None)
        if door is None:
            return "undecided"
        open_[:] = [(seq, None if seq == case.seq else which) for seq, which in open_]
        assert self.now is not None
        pane = min(case.at, self.now) // PANE_MS
        if any(pane <= other - PANES for _, other, _ in self.counted):
            return "late"
        self.counted.append((door, pane, case.label == "bad"))
        return "learned"

    def word(self, door: str) -> tuple[int | None, int, int, int] | None:
        """Value, as of, known and bad; None: nothing of the door lies within a window of the newest outcome."""
        until = max((at for at, (which, _, _) in enumerate(self.counted) if which == door), default=-1) + 1
        end = max((pane for _, pane, _ in self.counted[:until]), default=0)  # of the window when the door was told of
        inside = [(pane, bad) for which, pane, bad in self.counted[:until] if which == door and pane > end - PANES]
        if not inside or max(inside)[0] <= self.newest - PANES:
            return None
        known, bad = len(inside), sum(bad for _, bad in inside)
        value = 10_000 * bad // known if known >= self.least else None
        return value, max(pane for pane, _ in inside) * PANE_MS, known, bad

    @property
    def newest(self) -> int:
        return max((pane for _, pane, _ in self.counted), default=0)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[int, Case]]:
    """Decisions and labels of two partitions, some labels late, early, repeated, or of nothing that was decided."""
    made: list[tuple[int, Case]] = []
    offsets, seqs, now = [0, 0], [0, 0], T0
    for _ in range(draw(st.integers(1, 60))):
        partition = draw(st.integers(0, 1))
        now += draw(st.integers(0, 1_500))
        what = draw(st.sampled_from(("decision", "decision", "label", "label", "label", "again")))
        if what == "again" and made:
            made.append(draw(st.sampled_from(made)))
            continue
        at = now + draw(st.sampled_from((0, 0, 0, -2_000, -9_000, 5_000, 10**12)))
        if what == "decision":
            door = draw(st.sampled_from((*DOORS, None)))
            case = Case(offsets[partition], seqs[partition], at, {} if door is None else {"door_risk": door})
        else:
            seq = draw(st.integers(0, max(0, seqs[partition] + 1)))
            case = Case(offsets[partition], seq, at, None, draw(st.sampled_from(("good", "bad"))))
        offsets[partition] += 1
        seqs[partition] += 1
        made.append((partition, case))
    return made


def told_by(shares: Shares) -> Iterator[tuple[str, Word | None]]:
    for (signal, door), word in shares.told():
        assert signal == "door_risk"
        yield door, word


@settings(max_examples=100)
@given(story=stories(), least=st.integers(1, 3), every=st.integers(1, 7), horizon=st.sampled_from((2, 512)))
def test_what_is_told_is_what_a_list_of_all_outcomes_says(
    story: list[tuple[int, Case]], least: int, every: int, horizon: int
) -> None:
    """However often it is asked in between, and whatever comes twice, late, early or without a decision."""
    shares, dumb = Shares(learning(horizon, least=least)), Dumb(horizon, least)
    standing: dict[str, Word | None] = {}
    for number, (partition, case) in enumerate(story):
        assert shares.take(partition, case) == dumb.take(partition, case), case
        if number % every == 0:
            standing.update(told_by(shares))
    standing.update(told_by(shares))
    for door in DOORS:
        word, expected = standing.get(door), dumb.word(door)
        if word is not None and expected is None:  # it is about to be forgotten, behind others heard of longer ago
            assert word.as_of // PANE_MS <= dumb.newest - PANES
            continue
        assert (None if word is None else (word.value_bp, word.as_of, word.known, word.hits)) == expected
    assert len(shares) <= len(DOORS)


@settings(max_examples=60)
@given(story=stories(), cut=st.integers(0, 60), back=st.integers(0, 60))
def test_a_successor_goes_on_from_what_was_told(story: list[tuple[int, Case]], cut: int, back: int) -> None:
    """It reads every last word and the cases before it once more, and then says what its predecessor would have."""
    one = learning()
    first = Shares(one)
    words: dict[str, Word | None] = {}
    for partition, case in story[:cut]:
        first.take(partition, case)
    words.update(told_by(first))
    second = Shares(one)
    for door, word in words.items():
        second.restore(("door_risk", door), None if word is None else word.panes)
    for partition, case in story[:cut]:
        second.remember(partition, case)
    for partition, case in story[max(0, cut - back) :]:  # some come once more: what was written was not confirmed
        second.take(partition, case)
    for partition, case in story[cut:]:
        first.take(partition, case)
    words_of_second = dict(words)
    words.update(told_by(first))
    words_of_second.update(told_by(second))
    assert words_of_second == words


def test_the_table_is_bounded_and_says_what_it_forgot() -> None:
    """The subject heard of longest ago goes first; a null record says so, and the count."""
    shares = Shares(learning(), max_subjects=2)
    for number, door in enumerate(("a", "b", "a", "c")):
        shares.take(0, Case(2 * number, number, T0, {"door_risk": door}))
        shares.take(0, Case(2 * number + 1, number, T0, None, "good"))
    assert {door for door, word in told_by(shares) if word is None} == {"b"}
    assert (len(shares), shares.forgotten) == (2, 1)


@pytest.mark.parametrize(("label", "value"), [("bad", 10_000), ("good", 0)])
def test_an_epoch_forgets_the_decisions_of_the_chain_before(label: str, value: int) -> None:
    """`seq` begins anew: a label of decision 0 is that of the new one."""
    shares = Shares(learning())
    shares.take(0, Case(0, 0, T0, {"door_risk": "old"}))
    shares.take(0, Case(1, 1, T0, {"door_risk": "old"}))
    shares.take(0, Case(2, 0, T0, {"door_risk": "new"}))
    assert shares.take(0, Case(3, 1, T0, None, label)) == "undecided"
    assert shares.take(0, Case(4, 0, T0, None, label)) == "learned"
    [(door, word)] = told_by(shares)
    assert word is not None
    assert (door, word.value_bp, word.rationale) == (
        "new",
        value,
        f"{int(label == 'bad')} of 1 outcomes known within 4s were bad",
    )
