"""The trainer's head: a challenger learns from what is known, is tried on what comes after, and never takes a place."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sidechain.models.wet import card as cards
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.examples import Label
from sidechain.models.wet.training import Ended, Request, Training
from sidechain.models.wet.trial import WEEK_MS, Thresholds

NAMES = ("amount", "count", "kind")
DAY_MS = 86_400_000
LATE_MS = 2 * DAY_MS
LIMITS = Thresholds(labels=400, bad=40, labels_most=5_000)


def training(thresholds: Thresholds = LIMITS) -> Training:
    return Training(NAMES, max_step_ms=DAY_MS, groups=("kind", "amount"), thresholds=thresholds, first_fit=600)


class Stream:
    """Decisions an hour apart on four partitions, a fifth of them bad, their outcomes two days late."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.at = 0
        self.labels: list[Label] = []

    def step(self, to: Training, count: int = 50) -> None:
        random = self.random
        is_bad = random.random(count) < 0.2
        rows = np.stack([random.lognormal(5 + is_bad), random.poisson(2 + 6 * is_bad), random.integers(0, 2, count)], 1)
        keys = [(at % 4, at // 4) for at in range(self.at, self.at + count)]
        at = np.arange(self.at, self.at + count, dtype=np.int64) * 3_600_000
        to.decided(keys, at, rows.astype(np.float32), np.where(rows[:, 1] > 6, 4_000.0, 1_000.0))
        self.labels += [
            Label(key, int(when) + LATE_MS, bool(bad)) for key, when, bad in zip(keys, at, is_bad, strict=True)
        ]
        self.at += count
        while self.labels and self.labels[0].at <= at[-1]:
            to.told(self.labels.pop(0))


def fitted(asked: Request) -> Boosted:
    """What the fitting process answers, with fewer rounds."""
    return flatten(grow(asked.rows, asked.is_bad, asked.seed, rounds=15), asked.names, asked.version)


def until_over(one: Training, stream: Stream, steps: int = 200) -> Ended:
    """Steps of the worker, fits done at once."""
    for _ in range(steps):
        stream.step(one)
        if (ended := one.judge()) is not None:
            return ended
        if one.is_due:
            asked = one.request()
            one.begin(fitted(asked), asked)
    raise AssertionError("no trial ended")


def test_a_challenger_is_tried_on_what_came_after_it() -> None:
    """Its trial holds no decision it could have learned from, and no outcome it was fitted to came too early."""
    one, stream = training(), Stream()
    ended = until_over(one, stream)
    asked, trial = ended.challenger.request, ended.trial
    assert asked.latest <= asked.until - LATE_MS, "fitted to outcomes nobody knew"
    assert trial.judged.at.min() > asked.until
    assert (trial.before, trial.after) == ("rules", ended.challenger.model.name)
    assert len(trial) >= LIMITS.labels
    assert trial.verdict().word == "PROMOTE"
    assert one.champion is None, "nothing changes by itself"
    assert one.challenger is None


def test_the_next_one_stands_beside_the_champion_and_a_little_better_is_not_better() -> None:
    """Also a champion changes only because somebody says so."""
    one, stream = training(replace(LIMITS, gain=0.2)), Stream()
    first = until_over(one, stream).challenger
    one.champion_is(first.model, first.request.until)
    second = until_over(one, stream)
    assert (second.trial.before, second.challenger.parent) == (first.model.name, first.model.name)
    assert second.challenger.model.version > first.model.version
    assert not second.trial.is_better()
    assert one.champion is first.model


def test_a_promotion_ends_a_trial_beside_the_one_before() -> None:
    """What was scored by somebody else is not counted for anybody."""
    one, stream = training(), Stream()
    first = until_over(one, stream).challenger
    while one.trial is None:
        stream.step(one)
        one.judge()
        if one.is_due:
            asked = one.request()
            one.begin(fitted(asked), asked)
    one.champion_is(first.model, first.request.until)
    assert (one.trial, one.challenger) == (None, None)
    ended = until_over(one, stream)
    assert ended.trial.before == first.model.name


def test_nothing_is_fitted_to_outcomes_of_one_kind() -> None:
    """A thousand good ones teach nothing."""
    one = training()
    keys = [(0, at) for at in range(1_000)]
    one.decided(keys, np.arange(1_000, dtype=np.int64), np.ones((1_000, 3), np.float32), np.zeros(1_000))
    for key in keys:
        one.told(Label(key, 0, is_bad=False))
    assert one.examples.known == 1_000
    assert not one.is_due


def test_a_fit_that_came_to_nothing_is_tried_again_later() -> None:
    """After a tenth more outcomes."""
    one, stream = training(), Stream()
    while not one.is_due:
        stream.step(one)
    one.request()
    one.failed()
    assert not one.is_due
    known = one.examples.known
    while not one.is_due:
        stream.step(one)
    assert known * 1.05 < one.examples.known < known * 1.3


def test_weeks_are_told_by_scorer() -> None:
    """Of the last eight, the rules from the first row on, the challenger where it scored."""
    one, stream = training(), Stream()
    until_over(one, stream)
    told = one.weeks.told()
    assert len(told) <= 8
    assert all(begin % WEEK_MS == 0 for begin in told)
    assert all("rules" in by for by in told.values())
    newest = told[max(told)]
    assert newest["challenger"].average_precision > newest["rules"].average_precision
    assert all("champion" not in by for by in told.values())


def test_a_restart_loses_a_trial_and_no_outcome() -> None:
    """Decisions that wait go on waiting."""
    one, stream = training(), Stream()
    for _ in range(12):
        stream.step(one)
        one.judge()
    again = training()
    again.restore(one.state())
    known = one.examples.known
    assert (again.examples.known, again.examples.waiting) == (known, one.examples.waiting)
    stream.step(again)
    assert again.examples.known == known + 50
    assert again.judge() is None


@pytest.fixture(scope="module")
def ended() -> Ended:
    return until_over(training(), Stream())


def card(ended: Ended) -> cards.Card:
    data = cards.data_of(ended.challenger.request, {"wet.taps": {"0": (0, 41)}}, forgotten=3)
    more = {"policy": "doors@1:000000000000", "made": 807256800000}
    return cards.card_of(ended, data, parameters={"rounds": 15}, libraries={"scikit-learn": "1.7.2"}, **more)


def test_a_card_says_what_a_model_is_made_of_and_how_it_did(ended: Ended) -> None:
    """It travels as JSON, the same bytes for the same trial; people read it as Markdown."""
    made = card(ended)
    assert cards.decode(cards.encode(made)) == made
    assert cards.encode(card(ended)) == cards.encode(made)
    page = cards.markdown(made)
    for told in (made.file, made.digest, "PROMOTE", "`wet.taps`, offsets by partition: 0: 0 to 41", "3 decisions went"):
        assert told in page
    assert f"| all | {len(ended.trial):,} |" in page


def test_errors_are_told_by_segment_and_add_up(ended: Ended) -> None:
    """Two values are two segments; a number of many values makes four. Each row is in one segment of a group."""
    made = card(ended)
    parts = {group: [one for one in made.segments if one.group == group] for group in made.groups}
    assert [one.part for one in parts["kind"]] == ["0", "1"]
    assert len(parts["amount"]) == 4
    rows = ended.trial.judged
    named = rows.after >= made.threshold - 1e-9
    for some in parts.values():
        assert (sum(one.rows for one in some), sum(one.bad for one in some)) == (len(rows.at), int(rows.is_bad.sum()))
        missed = sum((one.missed or 0.0) * one.bad for one in some)
        assert missed == pytest.approx(int((rows.is_bad & ~named).sum()), abs=1e-2)
    bad = rows.is_bad.sum()
    assert (rows.after > made.threshold + 1e-9).sum() < bad <= named.sum(), "rows of one score share a side"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"x" * 1_000_001],
    ids=["empty", "a list", "nothing", "no text", "deep", "long"],
)
def test_what_is_no_card_is_refused(content: bytes) -> None:
    """With a sentence, and so is a version nobody knows."""
    with pytest.raises(ValueError, match="card"):
        cards.decode(content)


def test_a_card_of_a_later_version_is_refused(ended: Ended) -> None:
    """What is not known is not shown as if it were."""
    told = json.loads(cards.encode(card(ended)))
    with pytest.raises(ValueError, match="version 2"):
        cards.decode(json.dumps({**told, "v": 2}).encode())
