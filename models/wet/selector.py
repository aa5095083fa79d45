"""Which expert's score counts for a row: the baseline's, unless another is surer by a margin.

An expert may replace the baseline when its own confidence reaches `minimum` and what the confidence is worth is above
the baseline's by more than `margin`:

    worth = confidence · skill · (1 - min(1, latency / latency_most)) · (1 - errors)
            · 0.8 where it has most of the rows already

Skill is 1 unless whoever runs the panel knows better. Latency and errors are moving averages of batches. Of the
experts that reach the minimum, the `considered` worthiest are looked at; one that quotes evidence counts for 0.02 more
there, against the baseline too. The surest wins, at equal worth the one named first. All comparisons are between whole
millionths, so an edge is an edge.

Why a row went where it did is one of REASONS; `LABELS` are the pairs of expert and reason a counter can ever have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.experts.contract import SCORED, Codes, Matrix, Opinion

REASONS: Final = ("nobody", "disabled", "only", "baseline_kept", "higher_confidence", "evidence")
NOBODY, DISABLED, ONLY, KEPT, HIGHER, EVIDENCE = range(len(REASONS))
BASELINES: Final = ("disabled", "only", "baseline_kept")  # for which the baseline can be chosen
OTHERS: Final = ("only", "higher_confidence", "evidence")

TIE_BREAK: Final = 0.02  # what quoted evidence counts for
CROWDED: Final = 0.8
CROWDED_AT: Final = 0.5  # of the rows
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How ready the selector is to leave the baseline. Read once, when the selector is made."""

    is_enabled: bool = True
    minimum: float = 0.4  # confidence
    margin: float = 0.05
    considered: int = 2
    smoothing: float = 0.1  # of the moving averages: what the latest batch counts for
    latency_most_ms: float = 100.0  # of a batch: an expert that takes so long is worth nothing

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        for name in ("minimum", "margin", "smoothing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must lie between 0 and 1")
        if self.considered < 1 or not self.latency_most_ms > 0.0:
            raise ValueError("considered must be 1 or more and latency_most_ms above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Who speaks for each row."""

    expert: NDArray[np.int64]  # (rows,): position among the experts; -1: nobody
    reason: Codes  # (rows,): position in REASONS


class Selector:
    """Chooses among experts, the first of which is the baseline; remembers how fast and how sound they are."""

    def __init__(self, experts: Sequence[str], settings: Settings | None = None) -> None:
        self.experts = tuple(experts)
        self.settings = settings or Settings()
        self.labels = labels(self.experts)
        self.latency_ms = np.zeros(len(self.experts))
        self.errors = np.zeros(len(self.experts))
        self.share = np.zeros(len(self.experts))  # of the rows, lately
        self.skill = np.ones(len(self.experts))  # in [0, 1]: what whoever runs the panel thinks of each

    def hear(self, expert: int, latency_ms: float, *, is_error: bool) -> None:
        """How one expert fared with one batch."""
        part = self.settings.smoothing
        self.latency_ms[expert] += part * (latency_ms - self.latency_ms[expert])
        self.errors[expert] += part * (float(is_error) - self.errors[expert])

    def choose(self, opinions: Sequence[Opinion]) -> Selection:
        """Who speaks for each row; one opinion per expert, in their order. Counts towards their shares."""
        chosen = self.preview(opinions)
        rows = len(chosen.expert)
        if rows:
            now = np.bincount(chosen.expert[chosen.expert >= 0], minlength=len(self.experts)) / rows
            self.share += self.settings.smoothing * (now - self.share)
        return chosen

    def preview(self, opinions: Sequence[Opinion]) -> Selection:
        """The same, changing nothing."""
        confidence = np.stack([one.confidence for one in opinions])
        speaks = np.stack([one.state for one in opinions]) == SCORED
        quotes = np.stack([one.evidence for one in opinions]) > 0
        if not self.settings.is_enabled:
            return _selection(np.where(speaks[0], 0, -1), np.where(speaks[0], DISABLED, NOBODY))
        worth = _micro(confidence * self._soundness()[:, None])
        considered = _considered(worth, speaks & (_micro(confidence) >= _micro(self.settings.minimum)), self.settings)
        return _settle(worth, considered, quotes, speaks, int(_micro(self.settings.margin)))

    def _soundness(self) -> Matrix:
        """What a whole confidence of each expert is worth."""
        fast = 1.0 - np.minimum(1.0, self.latency_ms / self.settings.latency_most_ms)
        crowded = np.where(self.share > CROWDED_AT, CROWDED, 1.0)
        crowded[0] = 1.0  # that the baseline speaks most is as it should be
        return np.asarray(self.skill * fast * (1.0 - self.errors) * crowded)


def labels(experts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Every (expert, reason) there can be."""
    pairs = [("nobody", "nobody"), *((experts[0], reason) for reason in BASELINES)]
    return (*pairs, *((expert, reason) for expert in experts[1:] for reason in OTHERS))


def _considered(worth: NDArray[np.int64], may: NDArray[np.bool_], settings: Settings) -> NDArray[np.bool_]:
    """The worthiest of the experts that may replace the baseline, per row."""
    may = may.copy()
    may[0] = False
    order = np.argsort(np.where(may, -worth, 1), axis=0, kind="stable")  # at equal worth the one named first
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(len(worth))[:, None], axis=0)
    return np.asarray(may & (place < settings.considered))


def _settle(
    worth: NDArray[np.int64],
    considered: NDArray[np.bool_],
    quotes: NDArray[np.bool_],
    speaks: NDArray[np.bool_],
    margin: int,
) -> Selection:
    bar = np.where(speaks[0], worth[0] + margin, -1)  # with no baseline there is nothing to beat
    plain = np.where(considered & (worth > bar), worth, -1)
    with_evidence = np.where(considered, worth + int(_micro(TIE_BREAK)) * quotes, -1)
    best = np.where(with_evidence > bar, with_evidence, -1)
    winner = best.argmax(axis=0)
    is_replaced = best.max(axis=0) >= 0
    is_plain = (plain.max(axis=0) >= 0) & (plain.argmax(axis=0) == winner)
    reason = np.where(is_plain, HIGHER, EVIDENCE)
    expert = np.where(is_replaced, winner, np.where(speaks[0], 0, -1))
    reason = np.where(is_replaced, np.where(speaks[0], reason, ONLY), np.where(speaks[0], KEPT, NOBODY))
    alone = speaks[0] & (speaks.sum(axis=0) == 1)
    return _selection(expert, np.where(alone, ONLY, reason))


def _selection(expert: NDArray[np.int64], reason: NDArray[np.int64]) -> Selection:
    return Selection(expert.astype(np.int64), reason.astype(np.uint8))


def _micro(value: Matrix | float) -> NDArray[np.int64]:
    return np.asarray(np.rint(np.asarray(value) * MICRO), dtype=np.int64)
