"""From a score to a probability: how often rows with such a score turned out bad.

    calibration = calibrate(score, is_bad)     of labels known by now
    calibration.of(score)                      probabilities; the scores as they are while `is_calibrated` is false

Below FEWEST labels, or with labels of one kind alone, nothing can be learned and the calibration says so: a score is
then a rank or a share, and not a probability. With fewer than PLENTY labels two numbers are learned (Platt 1999, fitted
as Lin, Lin and Weng 2007 do), from there on a rising step curve (isotonic, by pooling adjacent violators), which needs
more (Niculescu-Mizil and Caruana 2005). No probability is nearer to 0 or 1 than one label more could have moved it.

How well it does is measured on labels it was not fitted to: every fifth label is judged by a fit to the others.
The same labels in the same order give the same calibration. It travels as JSON: loading one runs no code.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]
Method = Literal["uncalibrated", "platt", "isotonic"]

FORMAT: Final = 1
FEWEST: Final = 50  # labels
PLENTY: Final = 1_000
FOLDS: Final = 5
BINS: Final = 10
STEPS: Final = 100  # of Newton's method; it needs about ten
ENOUGH: Final = 1e-10


class Bin(NamedTuple):
    """Labels whose predicted probabilities lie next to each other."""

    predicted: float  # mean
    observed: float  # share that was bad
    labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How well probabilities agree with what happened."""

    labels: int
    bad: int
    brier: float  # mean squared difference; 0 is perfect
    brier_of_base: float  # of always saying the overall share: what anything worth having is below
    curve: tuple[Bin, ...]  # at most BINS of about as many labels each, from the lowest probability up

    @property
    def error(self) -> float:
        """Mean distance of the curve from the diagonal, in [0, 1]: the expected calibration error."""
        return sum(abs(one.predicted - one.observed) * one.labels for one in self.curve) / max(self.labels, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was learned of the labels: a curve, and how reliable it is."""

    format: int = FORMAT
    method: Method = "uncalibrated"
    labels: int = 0
    bad: int = 0
    slope: float = 0.0  # platt: probability = 1 / (1 + exp(-(slope · score + intercept)))
    intercept: float = 0.0
    score: tuple[float, ...] = field(default=(), repr=False)  # isotonic: the curve's corners, rising
    probability: tuple[float, ...] = field(default=(), repr=False)
    reliability: Reliability | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether what `of` returns are probabilities."""
        return self.method != "uncalibrated"

    @property
    def name(self) -> str:
        """`isotonic:ab12cd34`: the method, and the first digits of SHA-256 over everything learned."""
        return f"{self.method}:{sha256(self.to_bytes()).hexdigest()[:8]}"

    def of(self, score: Matrix) -> Matrix:
        """The probability that a row with such a score is bad; NaN stays. Uncalibrated: the scores themselves."""
        if self.method == "uncalibrated":
            return score
        if self.method == "platt":
            made = _sigmoid(self.slope * score + self.intercept)
        else:
            made = np.interp(score, self.score, self.probability)
        nearest = 1.0 / (self.labels + 2)
        return np.clip(made, nearest, 1.0 - nearest)

    def to_bytes(self) -> bytes:
        """One line of JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Calibration":
        """What `to_bytes` wrote. Raises ValueError when it is something else."""
        try:
            found = msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as fault:
            raise ValueError(f"this is not a calibration: {fault}") from fault
        if found.format != FORMAT:
            raise ValueError(f"this calibration has format {found.format}, this version of Sidechain reads {FORMAT}")
        return found


def calibrate(score: Matrix, is_bad: Flags, method: Method | None = None) -> Calibration:
    """Learn from labels: `score` (labels,) without NaN, `is_bad` (labels,). `method` None: what their number allows."""
    labels, bad = len(is_bad), int(is_bad.sum())
    if score.shape != is_bad.shape or np.isnan(score).any():
        raise ValueError(f"a score and an outcome for each label: {score.shape}, {is_bad.shape}, none of them NaN")
    if labels < FEWEST or bad in (0, labels) or method == "uncalibrated":
        return Calibration(labels=labels, bad=bad)
    method = method or ("isotonic" if labels >= PLENTY else "platt")
    fold = np.arange(labels) % FOLDS
    judged = np.empty(labels)
    for at in range(FOLDS):
        judged[fold == at] = _fit(score[fold != at], is_bad[fold != at], method).of(score[fold == at])
    return _fit(score, is_bad, method, reliability(judged, is_bad))


def reliability(probability: Matrix, is_bad: Flags) -> Reliability:
    """How well some probabilities agree with what happened; at least one label."""
    happened = is_bad.astype(np.float64)
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, min(BINS, len(order))) if len(part)]
    return Reliability(
        labels=len(is_bad),
        bad=int(is_bad.sum()),
        brier=float(np.mean((probability - happened) ** 2)),
        brier_of_base=float(np.mean((happened.mean() - happened) ** 2)),
        curve=tuple(Bin(float(probability[one].mean()), float(happened[one].mean()), len(one)) for one in bins),
    )


def _fit(score: Matrix, is_bad: Flags, method: Method, found: Reliability | None = None) -> Calibration:
    labels, bad = len(is_bad), int(is_bad.sum())
    if method == "platt":
        slope, intercept = _platt(score, is_bad)
        return Calibration(method=method, labels=labels, bad=bad, slope=slope, intercept=intercept, reliability=found)
    corners, risen = _isotonic(score, is_bad)
    return Calibration(
        method=method,
        labels=labels,
        bad=bad,
        score=tuple(corners.tolist()),
        probability=tuple(risen.tolist()),
        reliability=found,
    )


def _platt(score: Matrix, is_bad: Flags) -> tuple[float, float]:
    """Slope and intercept of the likeliest logistic curve; outcomes are drawn in a little, so that it is never a step.

    A slope below 0 would say that a higher score is better: then the scores say nothing, and the slope is 0.
    """
    bad = int(is_bad.sum())
    target = np.where(is_bad, (bad + 1.0) / (bad + 2.0), 1.0 / (len(is_bad) - bad + 2.0))
    slope, intercept = 0.0, float(np.log((bad + 1.0) / (len(is_bad) - bad + 1.0)))
    loss = _loss(slope, intercept, score, target)
    for _ in range(STEPS):
        missed = _sigmoid(slope * score + intercept) - target
        gradient = np.array([missed @ score, missed.sum()])
        if np.abs(gradient).max() < ENOUGH:
            break
        steep = (missed + target) * (1.0 - missed - target)
        mixed = steep @ score
        step = np.linalg.solve(
            [[steep @ (score * score) + ENOUGH, mixed], [mixed, steep.sum() + ENOUGH]],
            gradient,
        )
        size = 1.0
        while (next_loss := _loss(slope - size * step[0], intercept - size * step[1], score, target)) > loss:
            size /= 2.0
            if size < ENOUGH:
                break
        if size < ENOUGH:
            break
        slope, intercept, loss = slope - size * float(step[0]), intercept - size * float(step[1]), next_loss
    if slope < 0.0:
        mean = float(target.mean())
        return 0.0, float(np.log(mean / (1.0 - mean)))
    return slope, intercept


def _loss(slope: float, intercept: float, score: Matrix, target: Matrix) -> float:
    """Negative log likelihood, in the form that never overflows."""
    odds = slope * score + intercept
    return float(np.sum(np.logaddexp(0.0, odds) - target * odds))


def _isotonic(score: Matrix, is_bad: Flags) -> tuple[Matrix, Matrix]:
    """The corners of the rising step curve nearest to the outcomes, in least squares."""
    value, inverse, weight = np.unique(score, return_inverse=True, return_counts=True)
    share = np.bincount(inverse, weights=is_bad) / weight
    blocks: list[tuple[float, int, int, int]] = []  # mean, labels, first and last value
    for at, (mean, count) in enumerate(zip(share.tolist(), weight.tolist(), strict=True)):
        first = at
        while blocks and blocks[-1][0] >= mean:
            before, labels, first, _ = blocks.pop()
            mean, count = (before * labels + mean * count) / (labels + count), labels + count
        blocks.append((mean, count, first, at))
    corners = [(float(value[at]), mean) for mean, _, first, last in blocks for at in sorted({first, last})]
    return np.array([at for at, _ in corners]), np.array([mean for _, mean in corners])


def _sigmoid(odds: Matrix) -> Matrix:
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.asarray(np.exp(-np.logaddexp(0.0, -odds)))
