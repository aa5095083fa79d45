"""A forest's ONNX file: another runtime scores as scikit-learn does, unknown values included."""

import numpy as np
import onnx
import onnxruntime
import pytest

from sidechain.models.wet.fit import fit, grow
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.forest_onnx import file_name, to_onnx


def rows(seed: int, count: int, width: int = 6) -> np.ndarray:
    """Whole numbers of very different sizes, many of them equal."""
    random = np.random.default_rng(seed)
    return np.round(random.lognormal(np.arange(width) * 2, 1.5, (count, width)))


def scored(model: ForestModel, asked: np.ndarray) -> np.ndarray:
    """What ONNX Runtime says."""
    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    return session.run(["score"], {"features": asked.astype(np.float32)})[0][:, 0]


@pytest.mark.parametrize("count", [16, 200, 2_000])
def test_onnx_equals_scikit_learn(count: int) -> None:
    """Within 1e-5 on rows of the sample and on others."""
    sample, others = rows(1, count), rows(2, 1_000) * 1.5
    model, theirs = fit(sample, [f"f{at}" for at in range(6)], 7, 3), grow(sample, 7)
    for asked in (sample, others):
        assert np.abs(scored(model, asked) + theirs.score_samples(asked)).max() < 1e-5


def test_an_unknown_value_goes_where_the_median_goes() -> None:
    """As our own arrays have it."""
    sample, asked = rows(1, 1_000), rows(2, 500)
    random = np.random.default_rng(3)
    sample[random.random(sample.shape) < 0.1] = np.nan
    asked[random.random(asked.shape) < 0.3] = np.nan
    model = fit(sample, [f"f{at}" for at in range(6)], 7, 1)
    assert np.abs(scored(model, asked) - model.raw(asked)).max() < 1e-5


def test_the_file_names_its_model_and_its_columns_and_is_always_the_same() -> None:
    """Checked by the format's own library."""
    model = fit(rows(1, 300), list("abcdef"), 7, 3)
    data = to_onnx(model)
    read = onnx.load_model_from_string(data)
    onnx.checker.check_model(read)
    assert {one.key: one.value for one in read.metadata_props} == {"digest": model.digest, "names": "a b c d e f"}
    assert to_onnx(ForestModel.from_bytes(model.to_bytes())) == data
    assert file_name(model) == f"forest-3-{model.digest[:8]}.onnx"
