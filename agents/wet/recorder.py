"""From what the panel judged to records on wet.scores: whose word it is, its parts by feature, and words for people.

Every record of a score from the pack's `explain_above` on carries a base and one part for each feature, which add up to
the score; the others carry none, because most scores are looked at by nobody and a part costs as much as a score.
"""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np

from sidechain.models.policy import Wet
from sidechain.models.wet.ensemble import Ensemble, Judged, Why
from sidechain.models.wet.experts.contract import Batch
from sidechain.models.wet.rationale import ORDINARY, SILENT, WARMING, rationale
from sidechain.models.wet.remedies import EDGES_BP
from sidechain.models.wet.risk import explained_from
from sidechain.models.wet.selector import REASONS
from sidechain.topics.wet import Reason, Score, Tap

DIGITS: Final = 9  # of a score's numbers: parts rounded so still sum to the score within 1e-6
WHOLE_BP: Final = 10_000
EDGES: Final = np.array(EDGES_BP) / WHOLE_BP


class Reasoned(NamedTuple):
    """What a record says of why."""

    base: float | None
    reasons: tuple[Reason, ...]
    rationale: str


UNEXPLAINED: Final = Reasoned(None, (), ORDINARY)


class Recorder:
    """Writes down what one ensemble judged."""

    def __init__(self, wet: Wet, ensemble: Ensemble) -> None:
        self.explained_s = 0.0  # seconds that went into reasons
        self.scores_from = np.zeros(len(EDGES), dtype=np.int64)  # scores from each of EDGES_BP on
        self._ensemble = ensemble
        self._words = wet.words
        self._explain_above = explained_from(wet)

    def scores(self, taps: Sequence[Tap], batch: Batch, judged: Judged, *, is_warming: bool) -> list[Score]:
        """One record for each tap, in order. `is_warming`: why nobody speaks, where nobody does."""
        began = perf_counter()
        whys = self._reasoned(taps, batch, judged)
        self.explained_s += perf_counter() - began
        self.scores_from += (judged.score[judged.expert >= 0, None] >= EDGES).sum(axis=0)
        names = self._ensemble.names
        versions = [self._ensemble.model_name(at) for at in range(len(names))]
        columns = zip(
            taps,
            judged.expert.tolist(),
            judged.reason.tolist(),
            np.round(judged.score, DIGITS).tolist(),
            np.round(judged.probability, DIGITS).tolist(),
            judged.evidence.tolist(),
            strict=True,
        )
        records = []
        for at, (tap, expert, chosen, score, probability, evidence) in enumerate(columns):
            if expert < 0:
                records.append(_nothing(tap, is_warming=is_warming))
                continue
            base, reasons, words = whys.get(at, UNEXPLAINED)
            is_calibrated = probability == probability  # not NaN
            records.append(
                Score(
                    id=tap.id,
                    key=tap.key,
                    at=tap.at,
                    partition=tap.partition,
                    seq=tap.seq,
                    action=tap.action,
                    model=versions[expert],
                    state="scored",
                    score=score,
                    base=base,
                    reasons=reasons,
                    rationale=words,
                    expert=names[expert],
                    chosen=REASONS[chosen],
                    calibration="calibrated" if is_calibrated else "uncalibrated",
                    probability=probability if is_calibrated else None,
                    evidence=evidence,
                )
            )
        return records

    def _reasoned(self, taps: Sequence[Tap], batch: Batch, judged: Judged) -> Mapping[int, Reasoned]:
        """By position in the batch; only those from the threshold on."""
        found: dict[int, Reasoned] = {}
        for why in self._ensemble.explain(batch, judged, np.flatnonzero(judged.score >= self._explain_above)):
            base = round(why.base, DIGITS)
            order = np.argsort(-np.abs(why.parts), axis=1, kind="stable")
            parts = np.round(np.take_along_axis(why.parts, order, axis=1), DIGITS).tolist()
            ranges = [_ranges(why, one) for one in range(len(why.usual))]
            for at, (row, ranked, shares) in enumerate(zip(why.at.tolist(), order.tolist(), parts, strict=True)):
                reasons = tuple((why.names[one], part) for one, part in zip(ranked, shares, strict=True))
                usual = ranges[at if len(ranges) > 1 else 0]
                found[row] = Reasoned(
                    base, reasons, rationale(reasons, taps[row].features, usual, self._words, why.words[at])
                )
        return found


def _ranges(why: Why, row: int) -> dict[str, tuple[float, float]]:
    return {name: (low, high) for name, (low, high) in zip(why.names, why.usual[row].tolist(), strict=True)}


def _nothing(tap: Tap, *, is_warming: bool) -> Score:
    return Score(
        id=tap.id,
        key=tap.key,
        at=tap.at,
        partition=tap.partition,
        seq=tap.seq,
        action=tap.action,
        model=None,
        state="warming" if is_warming else "silent",
        score=None,
        base=None,
        reasons=(),
        rationale=WARMING if is_warming else SILENT,
    )
