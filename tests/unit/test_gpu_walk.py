"""The bench's walk for a GPU, with numpy in the place of CuPy, goes where the forest goes."""

import numpy as np

from sidechain.models.wet.fit import fit
from tests.bench.gpu import Walk


def test_the_walk_ends_at_the_same_leaves() -> None:
    """Path lengths, and so scores, are those of the forest."""
    random = np.random.default_rng(1)
    rows = random.lognormal(3, 1, (400, 4)).round()
    model = fit(rows[:200], list("abcd"), 1, 1)
    scores = np.exp2(-Walk(model, np).lengths(rows.astype(np.float32)) / model.unit)
    assert np.abs(scores - model.raw(rows)).max() < 1e-9
