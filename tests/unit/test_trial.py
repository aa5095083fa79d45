"""What a challenger is held to, and what is said of it: a table on every threshold's edge."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sidechain.models.wet.trial import WEEK_MS, Figures, Judged, Thresholds, Trial

LIMITS = Thresholds(labels=200, bad=20, labels_most=1_000)


def rows(before: np.ndarray, after: np.ndarray, is_bad: np.ndarray, weeks: int = 2) -> Judged:
    at = np.arange(len(is_bad), dtype=np.int64) % weeks * WEEK_MS
    return Judged(at, is_bad, before, after, np.empty((len(is_bad), 0)))


def seen(lift: float, seed: int = 1, count: int = 600) -> Judged:
    """Scores of chance with a bit of truth; the challenger knows `lift` more of it."""
    random = np.random.default_rng(seed)
    is_bad = random.random(count) < 0.2
    noise = random.random(count)
    before = 0.2 * is_bad + 0.5 * noise
    return rows(before, np.clip(before + lift * (is_bad - 0.5), 0.0, 1.0), is_bad)


@pytest.mark.parametrize(
    ("lift", "word", "is_better"),
    [
        (0.3, "PROMOTE", True),
        (0.0, "REVIEW", False),  # not worse, not better: a change is worth nothing
        (-0.1, "REJECT", False),
    ],
)
def test_the_verdict_goes_by_average_precision(lift: float, word: str, *, is_better: bool) -> None:
    """As far as the labels reach."""
    trial = Trial("champion-1:00000000", "champion-2:11111111", LIMITS)
    trial.add(seen(lift))
    assert (trial.verdict().word, trial.is_better()) == (word, is_better)


@pytest.mark.parametrize(("labels", "bad", "is_over"), [(199, 50, False), (200, 19, False), (200, 20, True)])
def test_a_trial_is_over_with_enough_labels_of_both_kinds(labels: int, bad: int, *, is_over: bool) -> None:
    """And before that nobody is better."""
    is_bad = np.arange(labels) < bad
    trial = Trial(None, "champion-1:00000000", LIMITS)
    trial.add(rows(np.full(labels, 0.5), np.where(is_bad, 0.9, 0.1), is_bad))
    assert trial.is_over == is_over
    assert trial.is_better() == is_over
    assert trial.verdict().word == ("PROMOTE" if is_over else "REVIEW")


def test_a_trial_has_an_end_also_where_nothing_is_bad() -> None:
    """It takes no more than it may, and says that it knows little."""
    trial = Trial(None, "champion-1:00000000", LIMITS)
    trial.add(rows(np.zeros(1_500), np.zeros(1_500), np.zeros(1_500, dtype=bool)))
    assert (len(trial), trial.is_over, trial.is_better()) == (1_000, True, False)
    assert trial.verdict().word == "REVIEW"


def test_who_ranks_better_and_is_no_probability_is_looked_at() -> None:
    """Right in order, wrong in size: people decide."""
    random = np.random.default_rng(2)
    is_bad = random.random(600) < 0.1
    trial = Trial(None, "champion-1:00000000", LIMITS)
    trial.add(rows(random.random(600), 0.9 + 0.09 * is_bad, is_bad))
    assert trial.verdict().word == "REVIEW"
    assert "say no more than their mean" in trial.verdict().why[0]
    assert trial.is_better()


def test_who_wins_one_week_and_loses_the_others_is_looked_at() -> None:
    """A better sum may hide it."""
    week = np.repeat([0, 1, 2], [400, 100, 100])
    is_bad = np.arange(600) % 5 == 0
    before = np.where(week == 0, 0.5, np.where(is_bad, 0.9, 0.1))
    after = np.where(week == 0, np.where(is_bad, 0.9, 0.1), 0.3)
    trial = Trial("champion-1:00000000", "champion-2:11111111", LIMITS)
    trial.add(Judged(week * WEEK_MS, is_bad, before, after, np.empty((600, 0))))
    assert trial.verdict().word == "REVIEW"
    assert "worse in 2 of 3 weeks" in trial.verdict().why[0]


def test_figures_are_those_of_scikit_learn_week_by_week() -> None:
    """The rules' score is ranked, and no probability."""
    some = seen(0.2)
    trial = Trial(None, "champion-2:11111111", LIMITS)
    trial.add(some)
    for week in trial.weekly():
        of = some.at == week.begin
        for score, found in ((some.before, week.before), (some.after, week.after)):
            assert isinstance(found, Figures)
            assert found.auroc == pytest.approx(roc_auc_score(some.is_bad[of], score[of]), abs=1e-6)
            assert found.average_precision == pytest.approx(
                average_precision_score(some.is_bad[of], score[of]), abs=1e-6
            )
        assert (week.before.brier is None, week.after.brier is None) == (True, False)
    assert [one.begin for one in trial.weekly()] == [0, WEEK_MS]
