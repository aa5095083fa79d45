"""What every expert of the panel keeps to, whatever it is made of.

    batch = Batch(names=("errors_5m", "gap"), rows=rows, keys=("entity-81", "entity-9"), ids=("req-1", "req-2"))
    expert.score(batch)                    an Opinion on each row: a score, or the reason why there is none
    expert.learn(batch)                    these rows passed
    expert.learn_outcomes(batch, is_bad)   what became known of rows that passed earlier, features as they were then
    expert.explain(batch)                  where it can: what every feature has to do with the scores, and in words

A score lies in [0, 1] and higher is worse. It is not a probability until it is calibrated (`calibration`). An expert
that cannot tell says so: the score is NaN, its confidence 0, and `state` names the reason. Scoring changes nothing;
no input is ever written to; columns are found by name, so their order means nothing; the same seed and the same rows
lead to the same scores, however the rows were cut into batches for `learn`; memory has a limit from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.uint8]

STATES: Final = ("scored", "warming", "no history", "no similar case", "too few voices", "failed")
SCORED, WARMING, NO_HISTORY, NO_CASE, TOO_FEW, FAILED = range(len(STATES))

SETTLED: Final = 64  # pieces of knowledge at which half of the full confidence is reached


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some decisions: what was known when they were made."""

    names: tuple[str, ...]  # of the columns
    rows: Matrix  # (rows, features); NaN: unknown
    keys: Sequence[str]  # (rows,): whose they are, a pseudonym
    ids: Sequence[str]  # (rows,): of the decisions

    def __post_init__(self) -> None:
        """Nobody writes to the rows from here on. A batch whose parts do not fit each other is our own bug."""
        if self.rows.shape != (len(self.keys), len(self.names)) or len(self.ids) != len(self.keys):
            raise ValueError(
                f"{self.rows.shape} rows with {len(self.names)} names, {len(self.keys)} keys and {len(self.ids)} ids"
            )
        rows = self.rows.view()
        rows.flags.writeable = False
        object.__setattr__(self, "rows", rows)

    def __len__(self) -> int:
        return len(self.keys)

    def columns(self, names: Sequence[str]) -> Matrix:
        """The features called `names`, in that order. KeyError for one that is not here."""
        if tuple(names) == self.names:
            return self.rows
        at = {name: position for position, name in enumerate(self.names)}
        return self.rows[:, [at[name] for name in names]]


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one expert says of each row of a batch."""

    score: Matrix  # (rows,) in [0, 1], higher is worse; NaN where state is not SCORED
    confidence: Matrix  # (rows,) in [0, 1]; 0 where there is no score
    evidence: Counts  # (rows,): past cases with known outcomes that the score quotes
    state: Codes  # (rows,): position in STATES


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """Why an expert's rows have their scores: base + parts[i].sum() is score[i], within 1e-9, where there is one."""

    base: float  # the score of a row of which nothing is known; one number for one version of the expert
    parts: Matrix  # (rows, features), in the order of the expert's names
    usual: Matrix  # (rows or 1, features, 2): between what each value usually lies; NaN: nobody knows
    words: Sequence[str]  # (rows,): from the vocabulary of `rationale`, where they differ from the features' own; or ""


class Expert(Protocol):
    """One scorer of the panel."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]:
        """The features it reads."""
        ...

    def score(self, batch: Batch) -> Opinion:
        """An opinion on each row."""
        ...

    def learn(self, batch: Batch) -> None:
        """These rows passed; what became of them is not known."""
        ...

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """What became of rows that passed earlier."""
        ...


class Reasons(Protocol):
    """What an expert gives as reasons at least; ranges and words are asked of those that have them (`Explained`)."""

    @property
    def base(self) -> float: ...
    @property
    def parts(self) -> Matrix: ...


@runtime_checkable
class Explains(Protocol):
    """An expert that can say why."""

    def explain(self, batch: Batch) -> Reasons | None:
        """Of rows it has just scored, before it learns from them; None where it has nothing to say."""
        ...


def model_name(expert: Expert) -> str:
    """Whose word it is, as records say it: `forest-3:ab12cd34`, or the bare name of an expert without versions."""
    return getattr(expert, "model_name", None) or expert.name


def silent(rows: int, state: int) -> Opinion:
    """No score for any of so many rows, all for one reason."""
    return opinion(np.zeros(rows), np.zeros(rows), np.full(rows, state, dtype=np.uint8))


def opinion(score: Matrix, confidence: Matrix, state: Codes, evidence: Counts | None = None) -> Opinion:
    """Scores and confidences where `state` is SCORED, none elsewhere."""
    scored = state == SCORED
    return Opinion(
        score=np.where(scored, score, np.nan),
        confidence=np.where(scored, confidence, 0.0),
        evidence=np.where(scored, 0 if evidence is None else evidence, 0).astype(np.int64),
        state=state,
    )


def clarity(score: Matrix, known: Matrix | float) -> Matrix:
    """How much a score says, in [0, 1]: its distance from one half, times what stands behind it.

    `known` counts the rows or the history it was learned from: SETTLED of them make half of full confidence.
    """
    return np.abs(2.0 * score - 1.0) * known / (known + SETTLED)
