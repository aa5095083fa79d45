"""The trainer's head: which challenger is on trial, when the next one is due, and what the weeks say. Pure, no clock.

    training = Training(columns(policy), max_step_ms=...)
    training.decided(keys, at, rows, rules)      scored by champion and challenger first, remembered then
    training.told(label)                         what became of one of them
    training.judge()                             the trial that ended just now, with its verdict; else None
    if training.is_due: request = training.request()      to be fitted elsewhere; then training.begin(model)

One challenger at a time: fitted to what is known, then tried on decisions made after that, until its trial is over. The
next one is due at 1,000 outcomes, then at every doubling, then every 50,000, but not while one is on trial. A champion
never changes here: somebody promotes, and `champion_is` says so.
"""

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.examples import Decided, Examples, Key, Known, Label
from sidechain.models.wet.schedule import Schedule
from sidechain.models.wet.trial import RULES, STATED, WEEK_MS, Figures, Judged, Thresholds, Trial, figures

FIRST_FIT: Final = 1_000  # outcomes
FEWEST_BAD: Final = 50  # and as many good ones
SEED: Final = 1
WEEKS: Final = 8  # that are told of
ROWS_A_WEEK: Final = 100_000  # of those whose outcome is known; later ones are not counted
WHOLE_BP: Final = 10_000
BY: Final = (RULES, "champion", "challenger")  # the columns of scores

Matrix = NDArray[np.float64]


class Request(NamedTuple):
    """What to fit."""

    rows: NDArray[np.float32]
    is_bad: NDArray[np.bool_]
    names: tuple[str, ...]
    seed: int
    version: int
    earliest: int  # event time of the first and the last decision, ms
    latest: int
    until: int  # event time up to which outcomes were known, ms


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model on trial."""

    model: Boosted
    request: Request
    parent: str | None  # who was champion then


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that is over."""

    challenger: Challenger
    trial: Trial


class Weeks:
    """What became known of the decisions of the last weeks, and how each scorer had scored them. Bounded."""

    def __init__(self) -> None:
        self.left_out = 0  # outcomes beyond what a week holds, or of a week that has gone
        self._by_week: OrderedDict[int, array[float]] = OrderedDict()

    def add(self, some: Known) -> None:
        """Outcomes, with the scores as of the decision."""
        week = some.at // WEEK_MS
        for one in np.unique(week).tolist():
            if one not in self._by_week and len(self._by_week) >= WEEKS and one < min(self._by_week):
                self.left_out += int((week == one).sum())
                continue
            kept = self._by_week.setdefault(one, array("f"))
            rows = np.column_stack([some.is_bad, some.scores])[week == one]
            room = ROWS_A_WEEK - len(kept) // (1 + len(BY))
            self.left_out += max(0, len(rows) - room)
            kept.extend(rows[: max(0, room)].ravel().tolist())
        while len(self._by_week) > WEEKS:
            del self._by_week[min(self._by_week)]

    def told(self) -> dict[int, dict[str, Figures]]:
        """Beginning of each week in ms, the earliest first -> scorer -> its figures over the rows it scored."""
        found = {}
        for week in sorted(self._by_week):
            rows = np.array(self._by_week[week], dtype=np.float64).reshape(-1, 1 + len(BY))
            found[week * WEEK_MS] = {
                name: figures(rows[has, 1 + at], rows[has, 0] > 0, is_probability=name != RULES)
                for at, name in enumerate(BY)
                if (has := ~np.isnan(rows[:, 1 + at])).any()
            }
        return found


class Training:
    """All of it. Bounded by `Examples`, `Weeks` and `Thresholds`."""

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        max_step_ms: int,
        groups: tuple[str, ...] = (),
        thresholds: Thresholds = STATED,
        first_fit: int = FIRST_FIT,
        seed: int = SEED,
        version: int = 1,
        until_closed: bool = False,
        **bounds: int,
    ) -> None:
        """`groups`: the names segments are told of. `version`: of the next challenger. `bounds`: of `Examples`.

        `until_closed`: a trial that has enough goes on until somebody calls `close`, for all there is of it is wanted.
        """
        self.names = names
        self.groups = groups
        self.version = version
        self.champion: Boosted | None = None
        self.challenger: Challenger | None = None
        self.trial: Trial | None = None
        self.weeks = Weeks()
        self.examples = Examples(names, max_step_ms=max_step_ms, **bounds)
        self._champion_until = -1
        self._until_closed = until_closed
        self._thresholds = thresholds
        self._schedule = Schedule(first_fit)
        self._seed = seed
        self._group_at = [names.index(one) for one in groups]

    def champion_is(self, model: Boosted | None, until: int = -1) -> None:
        """Somebody was promoted, or nobody is champion any more. `until`: outcomes it was fitted to were known by then.

        A trial beside the one before says nothing of this one; it ends without a verdict.
        """
        self.champion, self._champion_until = model, until
        self.challenger = self.trial = None
        self.examples.forget_scores(BY.index("champion"))
        self.examples.forget_scores(BY.index("challenger"))
        if model is not None:
            self.version = max(self.version, model.version + 1)

    def decided(self, keys: list[Key], at: NDArray[np.int64], rows: NDArray[np.float32], rules_bp: Matrix) -> None:
        """Decisions in the order they came: `rows` as `names`, `rules_bp` the rules' own score."""
        scores = np.full((len(keys), len(BY)), np.nan, dtype=np.float32)
        scores[:, 0] = rules_bp / WHOLE_BP
        models: list[tuple[int, Boosted, int]] = []
        if self.champion is not None:
            models.append((1, self.champion, self._champion_until))
        if self.challenger is not None:
            models.append((2, self.challenger.model, self.challenger.request.until))
        for column, model, until in models:
            if (new := at > until).any():
                read = [self.names.index(one) for one in model.names]
                scores[new, column] = model.score(rows[new][:, read].astype(np.float64))
        self.examples.decided(Decided(keys, at, rows, scores))

    def told(self, label: Label) -> None:
        """An outcome."""
        self.examples.told(label)

    def judge(self) -> Ended | None:
        """Count what became known since the last call. A trial that is over by it is closed and returned."""
        fresh = self.examples.taken()
        if not len(fresh.at):
            return None
        self.weeks.add(fresh)
        if self.trial is None or self.challenger is None:
            return None
        before = fresh.scores[:, 0 if self.champion is None else 1]
        both = ~np.isnan(before) & ~np.isnan(fresh.scores[:, 2])
        self.trial.add(
            Judged(
                at=fresh.at[both],
                is_bad=fresh.is_bad[both],
                before=before[both].astype(np.float64),
                after=fresh.scores[both, 2].astype(np.float64),
                groups=fresh.rows[both][:, self._group_at].astype(np.float64),
            )
        )
        limit = self._thresholds.labels_most
        if not self.trial.is_over or (self._until_closed and len(self.trial) < limit):
            return None
        return self.close()

    def close(self) -> Ended | None:
        """End the trial under way, whatever is known; None where there is none."""
        if self.trial is None or self.challenger is None:
            return None
        ended = Ended(self.challenger, self.trial)
        self.challenger = self.trial = None
        self.examples.forget_scores(BY.index("challenger"))
        return ended

    @property
    def is_due(self) -> bool:
        """Whether the next challenger should be fitted."""
        known = self.examples
        has_both = min(known.bad, known.known - known.bad) >= FEWEST_BAD
        return self.trial is None and has_both and known.known >= self._schedule.due_at

    def request(self) -> Request:
        """What to fit it to: everything known now. Only when due."""
        sample = self.examples.sample()
        self._schedule.passed(self.examples.known)
        made = Request(
            rows=sample.rows,
            is_bad=sample.is_bad,
            names=self.names,
            seed=self._seed + self.version,
            version=self.version,
            earliest=int(sample.at.min()),
            latest=int(sample.at.max()),
            until=self.examples.now_ms,
        )
        self.version += 1
        return made

    def failed(self) -> None:
        """The fit came to nothing: again after a tenth more outcomes."""
        self._schedule.again(self.examples.known)

    def begin(self, model: Boosted, request: Request) -> None:
        """Put a challenger on trial: decisions from now on."""
        parent = None if self.champion is None else self.champion.name
        self.challenger = Challenger(model, request, parent)
        self.trial = Trial(parent, model.name, self._thresholds, self.groups)
        self.examples.forget_scores(BY.index("challenger"))

    def state(self) -> dict[str, Any]:
        """Arrays to go on from after a restart; a trial under way begins anew."""
        return {**self.examples.state(), "version": np.array(self.version)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`. ValueError: it is of other features."""
        self.examples.restore(state)
        self.examples.taken()
        self.version = max(self.version, int(state["version"]))
