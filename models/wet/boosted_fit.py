"""Learn a champion from outcomes. Needs scikit-learn; runs in a process of its own.

The same rows, seed and version give the same model, digest included, on the same version of scikit-learn.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.nodes import Nodes
from sidechain.models.wet.trees import round_down

Matrix = NDArray[np.float64] | NDArray[np.float32]
Flags = NDArray[np.bool_]

FEWEST: Final = 50  # outcomes of each kind
ROUNDS: Final = 150
RATE: Final = 0.08
DEPTH: Final = 6  # also what keeps exact reasons affordable
LEAVES: Final = 31
FEWEST_IN_LEAF: Final = 50
LIBRARIES: Final = ("scikit-learn", "numpy")


def fit(rows: Matrix, is_bad: Flags, names: Sequence[str], seed: int, version: int, rounds: int = ROUNDS) -> Boosted:
    """A model of outcomes: `rows` (rows × features, NaN for unknown) as they were at decision time."""
    bad = int(is_bad.sum())
    if min(bad, len(is_bad) - bad) < FEWEST or rows.shape != (len(is_bad), len(names)):
        raise ValueError(f"a champion needs {FEWEST} outcomes of each kind, not {bad} bad ones of {len(is_bad)}")
    return flatten(grow(rows, is_bad, seed, rounds), names, version)


def grow(rows: Matrix, is_bad: Flags, seed: int, rounds: int = ROUNDS) -> Any:
    """The scikit-learn model. By one thread: several would add up in an order of their own, to another digest."""
    untrained = HistGradientBoostingClassifier(
        learning_rate=RATE,
        max_iter=rounds,
        max_depth=DEPTH,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=FEWEST_IN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    single = rows.astype(np.float32)
    # A feature nobody ever knew decides nothing; scikit-learn cannot even look at it.
    single[:, np.isnan(single).all(axis=0)] = 0.0
    with threadpool_limits(1):
        return untrained.fit(single, is_bad)


def flatten(grown: Any, names: Sequence[str], version: int) -> Boosted:
    """scikit-learn's trees as the arrays of `boosted`."""
    trees = [one[0].nodes for one in grown._predictors]  # noqa: SLF001  its only way to a tree
    root = np.cumsum([0, *(len(one) for one in trees[:-1])])
    first = np.repeat(root, [len(one) for one in trees])
    nodes = np.concatenate(trees)
    leaf = nodes["is_leaf"].astype(np.bool_)
    here = np.arange(len(nodes))
    return Boosted(
        version,
        tuple(names),
        float(grown._baseline_prediction.ravel()[0]),  # noqa: SLF001
        Nodes(
            root=root.astype(np.int32),
            left=np.where(leaf, here, nodes["left"] + first).astype(np.int32),
            right=np.where(leaf, here, nodes["right"] + first).astype(np.int32),
            feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
            threshold=round_down(np.where(leaf, np.inf, nodes["num_threshold"])),
            unknown_left=nodes["missing_go_to_left"].astype(np.bool_),
            value=np.where(leaf, nodes["value"], 0.0),
            cover=nodes["count"].astype(np.int32),
        ),
    )


def parameters() -> dict[str, float]:
    """What a champion is grown with."""
    return {
        "rounds": ROUNDS,
        "learning_rate": RATE,
        "depth": DEPTH,
        "leaves": LEAVES,
        "fewest_in_leaf": FEWEST_IN_LEAF,
    }


def libraries() -> dict[str, str]:
    """What it is grown by, with versions."""
    return {"python": platform.python_version(), **{one: version_of(one) for one in LIBRARIES}}
