"""A candidate beside a chain comes to the figures of a back-test; labels count where their decision stood."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.problems import UsageProblem
from sidechain.agents.roles import _candidates
from sidechain.models.candidate import Candidate, Mismatch
from sidechain.models.compare import EARLIER, NO_WEEK, VERDICTS, Comparison, Flips, Hits, Judged, Pair, Sums, week_of
from sidechain.models.compare_fields import comparison_of, figures
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from sidechain.models.late_labels import LateLabels, Told
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import ACTIONS, Policy
from sidechain.models.shadow import Shadow
from tests.support import T0, event, feature, policy, records, rule

DAY_MS = 86_400_000


def judging(limit: int) -> Policy:
    """Above `limit` to review."""
    return policy(
        features=[feature("seen", "count", "1h")],
        rules=[rule("big", f"event.n > {limit}", "review")],
        max_step_ms=DAY_MS,
    )


class World:
    """One chain, its inputs, and how they are found."""

    def __init__(self, old: Policy) -> None:
        self.fold = Fold(old, 0)
        self.inputs: dict[tuple[str, int], object] = {}
        self.chain: list[bytes] = []

    def events(self, *numbers: int) -> None:
        first = self.fold.next["events"]
        made = records([{**event(first + at), "n": n} for at, n in enumerate(numbers)], first)
        self.inputs |= {("events", one.offset): one for one in made}
        self.chain += [value for _, value in self.fold.events(made).entries]

    def outcome(self, number: int, **says: object) -> None:
        offset = self.fold.next["outcomes"]
        value = msgspec.json.encode({"id": event(number)["id"], "at": T0 + DAY_MS, **says})
        self.inputs["outcomes", offset] = made = Line(offset, b"h", value)
        self.chain += [value for _, value in self.fold.outcomes([made]).entries]

    def input_of(self, topic: str, offset: int):
        return self.inputs.get((topic, offset))

    def shadow(self, candidate: Policy) -> Shadow:
        return Shadow(candidate, 0, self.input_of, lambda value: json.loads(value)["n"])


def test_it_counts_what_a_back_test_counts() -> None:
    """Over the same entries, whatever came between them."""
    world = World(judging(10))
    world.events(7, 12, 9, 30, 12)
    world.outcome(1, cost_minor=5)
    world.events(9, 8)
    shadow, walk, found = world.shadow(judging(8)), Candidate(judging(8), 0, world.input_of), Comparison()
    for one in world.chain:
        shadow.take(one)
        if pair := walk.take(one):
            found.add(pair, json.loads(walk.record.value)["n"] if pair.before.verdict != pair.after.verdict else None)
    assert shadow.found == found
    assert found.sums.flips == Flips(2, 18)
    assert (shadow.entries, shadow.seq, shadow.broken) == (8, 7, "")
    assert shadow.head == json.loads(world.chain[-1])["hash"]


def test_a_label_counts_for_its_decision() -> None:
    """Above 10 to review becomes above 20.

    n         12      15      30
    before    review  review  review
    after     allow   allow   review
    truth     bad     good    bad      the second is said twice, and a cost alone says nothing
    """
    world = World(judging(10))
    world.events(12, 15, 30)
    shadow = world.shadow(judging(20))
    world.outcome(0, label="bad")
    world.outcome(1, label="good")
    world.outcome(1, label="bad")  # refused: its label is settled
    world.outcome(2, label="bad")
    world.outcome(2, cost_minor=7)
    for one in world.chain:
        shadow.take(one)
    sums = shadow.found.sums
    assert (sums.labelled, sums.caught, sums.missed, sums.missed_stake, sums.caught_stake) == (3, 0, 1, 12, 0)
    assert sums.hits_before == Hits(named=3, named_bad=2, bad=2)
    assert sums.hits_after == Hits(named=1, named_bad=1, bad=2)
    assert shadow.found.weeks == {week_of(T0): sums}


def test_behind_a_break_nothing_counts_until_an_epoch_begins() -> None:
    """A label then is of the new epoch's entry, not of the one with that number before."""
    world = World(judging(10))
    world.events(12, 12)
    shadow = world.shadow(judging(20))
    world.chain.append(b"not an entry")
    world.outcome(0, label="bad")
    world.fold, opening = Fold.begin_epoch(
        judging(10), 0, 1, stated(b"not an entry"), world.fold.next, at_ms=T0, by="anna", why="broken"
    )
    for one in world.chain:
        shadow.take(one)
    assert shadow.broken.startswith("what stands where entry 2 was due is none")
    assert (shadow.found.sums.inputs, shadow.found.sums.labelled) == (2, 0)
    world.chain = [opening]
    world.events(30)
    world.outcome(2, label="bad")
    for one in world.chain:
        shadow.take(one)
    assert (shadow.broken, shadow.found.sums.inputs, shadow.found.sums.labelled) == ("", 3, 1)
    assert shadow.found.sums.hits_after == Hits(named=1, named_bad=1, bad=1)


def test_an_event_that_is_gone_is_said() -> None:
    """Its log was kept too short; guessing would be no comparison."""
    world = World(judging(10))
    world.events(12)
    shadow = world.shadow(judging(20))
    world.inputs.clear()
    with pytest.raises(Mismatch, match="event at offset 0, which is not there"):
        shadow.take(world.chain[0])


def test_what_is_awaited_is_bounded() -> None:
    """The oldest blocks are forgotten; whatever is remembered is labelled as what it was, and once."""
    every = [(was, now) for was in VERDICTS for now in VERDICTS if {was, now} & set(ACTIONS)]
    found, again = Comparison(), Comparison()
    late = LateLabels(found, remembered=8, block=4)
    for seq, (was, now) in enumerate(every):
        at_ms, stake = T0 + 7 * DAY_MS * (seq % 5), seq if seq % 3 and was != now else None
        one = Pair(0, seq, "p", str(seq), at_ms, Judged(was), Judged(now))
        found.add(one, stake)
        late.wait(one, stake)
        again.add(one, stake, is_bad=bool(seq % 2) if seq >= len(every) - 8 else None)
        assert len(late._blocks) <= 3
        assert len(late._stakes) <= 3
    for seq in [*range(len(every) - 8, len(every)), len(every) - 1, 0, 10_000]:
        late.told(Told(seq, is_bad=bool(seq % 2)))
    assert found == again


def test_the_oldest_weeks_are_summed_up() -> None:
    """So many are told apart; what has no time stays apart, and a late label finds its place."""
    found = Comparison()
    for week in range(5):
        found.add(Pair(0, week, "p", str(week), T0 + 7 * DAY_MS * week, Judged("allow"), Judged("review")), 10)
    found.add(Pair(0, 5, "p", None, None, Judged("rejected"), Judged("rejected")))
    found.keep_weeks(2)
    found.label("allow", "review", week_of(T0), 10, is_bad=True)
    assert set(found.weeks) == {EARLIER, week_of(T0 + 21 * DAY_MS), week_of(T0 + 28 * DAY_MS), NO_WEEK}
    assert (found.weeks[EARLIER].inputs, found.weeks[EARLIER].caught_stake) == (3, 10)
    whole = Sums()
    for one in found.weeks.values():
        whole.merge(one)
    assert whole == found.sums


def test_figures_lead_back_to_the_comparison() -> None:
    """Field by field, so that those of several partitions add up as if one had counted."""
    world = World(judging(10))
    world.events(7, 12, 9, 30, 12)
    world.outcome(1, label="bad")
    world.outcome(2, label="good")
    shadow = world.shadow(judging(8))
    for one in world.chain:
        shadow.take(one)
    text = msgspec.json.encode(figures(shadow.found, "n"))
    told = msgspec.json.decode(text)
    assert comparison_of(told) == shadow.found
    assert msgspec.json.encode(figures(comparison_of(told), "n")) == text
    twice = comparison_of(told)
    twice.merge(replace(shadow.found))
    assert (twice.sums.inputs, twice.sums.labelled) == (10, 4)
    with pytest.raises(ValueError, match="inputs"):
        comparison_of({**told, "inputs": "many"})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["web2"] * 2, r"web2.yaml is web@2:[0-9a-f]{12} again: name each candidate once"),
        (["web2"] * 9, "9 candidates are too many for one shadow: at most 8; start another"),
        (["other"], "other.yaml is a policy of pack other, and the chains are of pack web"),
    ],
    ids=["twice", "too many", "another pack"],
)
def test_candidates_that_cannot_be_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    """Before anything is read."""
    text = load_pack("web").text
    (tmp_path / "web2.yaml").write_text(text.replace("version: 1", "version: 2", 1), encoding="utf-8")
    (tmp_path / "other.yaml").write_text(text.replace("pack: web", "pack: other", 1), encoding="utf-8")
    files = [tmp_path / f"{name}.yaml" for name in names]
    with pytest.raises(UsageProblem, match=said):
        _candidates(load_pack("web"), files)
    assert [one.version for one in _candidates(load_pack("web"), [tmp_path / "web2.yaml"])] == [2]
