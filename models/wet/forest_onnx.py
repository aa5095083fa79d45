"""A forest as an ONNX file, for whoever scores with another runtime.

    forest-3-ab12cd34.onnx     input `features` (rows, features) float32, NaN: unknown; output `score` (rows, 1)

`score` is the isolation score before it is ranked, in (0, 1]: scikit-learn's `score_samples` with the sign turned,
within 1e-5, because the standard adds path lengths up as float32. An unknown value goes where the training median
would go. `names` in the metadata tells the order of the columns, `digest` the model. The same model gives the same
bytes. Needs no library.
"""

import math

import numpy as np

from sidechain.models.wet.attribution import trees
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.onnx_parts import OF_INT, OF_TEXT, attribute, constant, file, floats, integers, tensor, texts
from sidechain.models.wet.protobuf import content, text, whole
from sidechain.models.wet.trees import round_down


def file_name(model: ForestModel) -> str:
    """What to call the file: version and digest of the model."""
    return f"forest-{model.version}-{model.digest[:8]}.onnx"


def to_onnx(model: ForestModel) -> bytes:
    """The file."""
    number, node, left, right, feature, threshold, length = (
        np.concatenate(one) for one in zip(*_nodes(model), strict=True)
    )
    leaf = left < 0
    median = model.medians.astype(np.float32)[np.where(leaf, 0, feature)]
    ensemble = (
        text(1, "features"),
        text(2, "length"),
        text(4, "TreeEnsembleRegressor"),
        integers("nodes_treeids", number),
        integers("nodes_nodeids", node),
        integers("nodes_featureids", np.where(leaf, 0, feature)),
        floats("nodes_values", np.where(leaf, np.float32(0.0), threshold)),
        texts("nodes_modes", ["LEAF" if one else "BRANCH_LEQ" for one in leaf]),
        integers("nodes_truenodeids", np.where(leaf, 0, left)),
        integers("nodes_falsenodeids", np.where(leaf, 0, right)),
        integers("nodes_missing_value_tracks_true", (~leaf & (median <= threshold)).astype(np.int32)),
        integers("target_treeids", number[leaf]),
        integers("target_nodeids", node[leaf]),
        integers("target_ids", np.zeros(int(leaf.sum()), dtype=np.int32)),
        floats("target_weights", length[leaf].astype(np.float32)),
        attribute("n_targets", OF_INT, whole(3, 1)),
        attribute("aggregate_function", OF_TEXT, text(4, "SUM")),
        attribute("post_transform", OF_TEXT, text(4, "NONE")),
        text(7, "ai.onnx.ml"),
    )
    # 2^(-length / unit), by the operators there are.
    scaled = (text(1, "length"), text(1, "rate"), text(2, "power"), text(4, "Mul"))
    risen = (text(1, "power"), text(2, "score"), text(4, "Exp"))
    graph = (
        *(content(1, b"".join(one)) for one in (ensemble, scaled, risen)),
        text(2, "forest"),
        content(5, constant("rate", -math.log(2.0) / model.unit)),
        content(11, tensor("features", len(model.names))),
        content(12, tensor("score", 1)),
    )
    return file(b"".join(graph), {"digest": model.digest, "names": " ".join(model.names)})


def _nodes(model: ForestModel) -> list[tuple[np.ndarray, ...]]:
    """Of each tree its number, and of its nodes their own, their children (below 0: none), what they split, lengths."""
    found: list[tuple[np.ndarray, ...]] = []
    for number, tree in enumerate(trees(model.grown)):
        own = np.flatnonzero(tree.cover > 0)
        threshold = round_down(tree.threshold[own])
        told = (tree.left[own], tree.right[own], tree.feature[own], threshold, tree.value[own])
        found.append((np.full(len(own), number), own, *told))
    return found
