"""A champion's ONNX file, scored by ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime

from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.onnx_file import file_name, to_onnx

NAMES = ("amount", "count", "gap")


def test_probabilities_are_those_of_scikit_learn_within_a_hundred_thousandth() -> None:
    """Also beside every threshold, far out and unknown; the file names its columns and its model."""
    random = np.random.default_rng(1)
    rows = random.lognormal((5, 2, 15), (2, 1, 3), (3_000, 3)).round()
    is_bad = ((rows[:, 0] > 2_000) | (rows[:, 2] < 1e4)) ^ (random.random(3_000) < 0.02)
    rows[random.random(rows.shape) < 0.05] = np.nan
    grown = grow(rows, is_bad, seed=1, rounds=40)
    model = flatten(grown, NAMES, 3)
    edges = np.unique(model.nodes.threshold[np.isfinite(model.nodes.threshold)])
    beside = np.repeat(np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))])[:, None], 3, axis=1)
    file = to_onnx(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for asked in (rows, -rows * 1e9, beside, np.full((1, 3), np.nan)):
        single = asked.astype(np.float32)
        (given,) = session.run(["probability"], {"features": single})
        assert np.abs(given[:, 0] - grown.predict_proba(single)[:, 1]).max() < 1e-5
    assert to_onnx(model) == file
    assert file_name(model) == f"champion-3-{model.name[-8:]}.onnx"
    told = {one.key: one.value for one in onnx.load_from_string(file).metadata_props}
    assert told == {"digest": model.digest, "names": "amount count gap"}
