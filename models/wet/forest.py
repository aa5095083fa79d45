"""One version of the anomaly model: immutable, named by its digest, carried as plain arrays.

    forest-3:ab12cd34        the third fit; the first 8 hex digits of SHA-256 over its arrays

`score` says how unusual a row is, in [0, 1], higher is worse: a rank within the training sample (`ranks`), not a
probability. `explain` also says why: `base`, the score of the mean path through the trees, plus one part per feature
adds up to the score. Raw scores equal scikit-learn's `score_samples` with the sign turned.

A model travels as .npz bytes, which hold numbers only: loading one runs no code.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.ranks import Ranks
from sidechain.models.wet.trees import Grown, Trees, average_path_length

Matrix = NDArray[np.float64]

FORMAT: Final = 1
USUAL: Final = (5, 95)  # percent: the range a rationale calls usual
SMALLEST: Final = 1e-12  # path lengths nearer to the root's than this leave nothing to explain


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """Why each row of a batch has its score: score[i] == base + parts[i].sum(), within 1e-6."""

    base: float
    score: Matrix  # (rows,)
    parts: Matrix  # (rows, features): positive parts made the row more unusual


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Everything a fit learns. `ForestModel` adds what follows from it."""

    version: int
    names: tuple[str, ...]  # the features, in the order of the columns
    drawn: int  # training rows each tree was grown from
    grown: Grown
    medians: Matrix  # (features,): stands in for unknown
    usual: Matrix  # (features, 2): the 5 % and the 95 % quantile of the known training values; NaN: never known
    ranks: Ranks


class ForestModel:
    """Scores and explains rows of features. Unknown is NaN and is taken for the training median."""

    def __init__(self, fitted: Fitted) -> None:
        self.version = fitted.version
        self.names = fitted.names
        self.medians = fitted.medians
        self.usual = fitted.usual
        self.grown = fitted.grown
        self._fitted = fitted
        self._trees = Trees(fitted.grown, len(fitted.names))
        self.unit = float(average_path_length(np.array([fitted.drawn], dtype=np.int32))[0]) or 1.0
        self.digest = _digest(_arrays(fitted))
        self.name = f"forest-{fitted.version}:{self.digest[:8]}"

    def raw(self, rows: Matrix) -> Matrix:
        """The isolation score of each row, in (0, 1]: 2^(-mean path length / the mean length of a random search)."""
        return self._raw(self._trees.lengths(self.known(rows)))

    def score(self, rows: Matrix) -> Matrix:
        """The calibrated score of each row."""
        return self._fitted.ranks.of(self.raw(rows))

    def explain(self, rows: Matrix) -> Explained:
        """The calibrated score of each row, and the part every feature has in it.

        A feature's part is its share of the path length, scaled so that the parts sum to the score exactly. Where the
        calibration is locally so steep that the scale would blow the parts up, what is missing is shared out by size.
        """
        length, moved = self._trees.parts(self.known(rows))
        return self.explained(length, moved)

    def explained(self, length: Matrix, moved: Matrix) -> Explained:
        """The same from path lengths (rows,), and (rows, features) how far each feature moved them off the mean."""
        base = float(self._fitted.ranks.of(self._raw(np.array([self._trees.root_length])))[0])
        score = self._fitted.ranks.of(self._raw(length))
        shorter = -moved  # a shorter path is more unusual
        return Explained(base, score, scaled(shorter, score - base))

    def known(self, rows: Matrix) -> Matrix:
        """The rows with every unknown value taken for the training median."""
        return np.where(np.isnan(rows), self.medians, rows)

    def to_bytes(self) -> bytes:
        """The model as an .npz file of arrays."""
        file = io.BytesIO()
        arrays: Mapping[str, Any] = _arrays(self._fitted)
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "ForestModel":
        """The model `to_bytes` wrote. Raises ValueError when it is something else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if "format" not in arrays or int(arrays["format"]) != FORMAT:
                raise ValueError("this is not a forest in a format this version of Sidechain reads")
            return cls(
                Fitted(
                    version=int(arrays["version"]),
                    names=tuple(str(one) for one in arrays["names"]),
                    drawn=int(arrays["drawn"]),
                    grown=Grown(arrays["feature"], arrays["threshold"], arrays["samples"]),
                    medians=arrays["medians"],
                    usual=arrays["usual"],
                    ranks=Ranks(arrays["raw"], arrays["rank"]),
                )
            )

    def _raw(self, length: Matrix) -> Matrix:
        return np.exp2(-length / self.unit)


def matrix(names: Sequence[str], features: Sequence[Mapping[str, int | None]]) -> Matrix:
    """Rows of features in the model's order; NaN where a value is unknown or missing."""
    flat: list[int | None] = []
    for row in features:
        flat.extend(map(row.get, names))
    return np.array(flat, dtype=np.float64).reshape(len(features), len(names))  # None becomes NaN


def scaled(shorter: Matrix, risen: Matrix) -> Matrix:
    """Parts proportional to `shorter` whose sum per row is `risen`, none blown up beyond 1 by the proportion."""
    total = shorter.sum(axis=1)
    size = np.abs(shorter)
    explains = np.abs(total) > SMALLEST
    slope = np.divide(risen, total, out=np.zeros_like(total), where=explains)
    largest = size.max(axis=1, initial=SMALLEST)
    slope = np.clip(slope, 0.0, 1.0 / largest)
    parts = shorter * slope[:, None]
    missing = risen - parts.sum(axis=1)
    weight = size.sum(axis=1)
    share = np.divide(size, weight[:, None], out=np.zeros_like(size), where=weight[:, None] > SMALLEST)
    return np.asarray(parts + share * missing[:, None])


def exactly(parts: Matrix, risen: Matrix) -> Matrix:
    """The parts, with what they miss of `risen` (rows,) shared out evenly: nothing is known of whose it is."""
    return np.asarray(parts + ((risen - parts.sum(axis=1)) / parts.shape[1])[:, None])


def quantiles(sample: Matrix) -> Matrix:
    """(features, 2): between what the known values of a sample usually lie; NaN for a feature that was never known."""
    usual = np.full((sample.shape[1], 2), np.nan)
    for at, column in enumerate(sample.T):
        known = column[~np.isnan(column)]
        if len(known):
            usual[at] = np.percentile(known, USUAL)
    return usual


def _arrays(fitted: Fitted) -> dict[str, NDArray[Any]]:
    """What the model is, by name: what travels and what the digest covers."""
    return {
        "format": np.array(FORMAT),
        "version": np.array(fitted.version),
        "names": np.array(fitted.names, dtype=np.str_),
        "drawn": np.array(fitted.drawn),
        "feature": fitted.grown.feature,
        "threshold": fitted.grown.threshold,
        "samples": fitted.grown.samples,
        "medians": fitted.medians,
        "usual": fitted.usual,
        "raw": fitted.ranks.raw,
        "rank": fitted.ranks.rank,
    }


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over name, type, shape and bytes of every array, in a fixed order."""
    running = sha256()
    for name, array in sorted(arrays.items()):
        plain = np.ascontiguousarray(array)
        little = plain.astype(plain.dtype.newbyteorder("<"))
        running.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        running.update(little.tobytes())
    return running.hexdigest()
