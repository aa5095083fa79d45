"""A champion as an ONNX file, for whoever scores with another runtime.

    champion-3-ab12cd34.onnx     input `features` (rows, features) float32, NaN: unknown; output `probability` (rows, 1)

A tree ensemble of the standard's ML operators and a sigmoid, its thresholds and leaves those of `boosted`; `names` in
the metadata tells the order of the columns. Leaves are added up as float32 there, so probabilities agree within 1e-5.
The same model gives the same bytes. Needs the extra `onnx`.
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from sidechain.models.wet.boosted import Boosted

OPERATORS: Final = 17  # version of the standard's operators
ML_OPERATORS: Final = 3
FILE_FORMAT: Final = 8


def file_name(model: Boosted) -> str:
    """What to call the file: version and digest of the model."""
    return f"champion-{model.version}-{model.digest[:8]}.onnx"


def to_onnx(model: Boosted) -> bytes:
    """The file."""
    nodes = model.nodes
    leaf = nodes.is_leaf
    ends = np.append(nodes.root[1:], len(leaf))
    tree = np.repeat(np.arange(len(nodes.root)), ends - nodes.root)
    own = np.arange(len(leaf)) - nodes.root[tree]  # nodes are numbered within their tree
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["log_odds"],
        domain="ai.onnx.ml",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=nodes.feature.tolist(),
        nodes_values=np.where(leaf, 0.0, nodes.threshold).tolist(),
        nodes_modes=["LEAF" if one else "BRANCH_LEQ" for one in leaf],
        nodes_truenodeids=np.where(leaf, 0, nodes.left - nodes.root[tree]).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, nodes.right - nodes.root[tree]).tolist(),
        nodes_missing_value_tracks_true=nodes.unknown_left.astype(int).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=nodes.value[leaf].tolist(),
        n_targets=1,
        base_values=[model.intercept],
        aggregate_function="SUM",
        post_transform="NONE",  # LOGISTIC would do, but ONNX Runtime passes over it in a regressor
    )
    graph = helper.make_graph(
        [ensemble, helper.make_node("Sigmoid", ["log_odds"], ["probability"])],
        "champion",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(model.names)])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows", 1])],
    )
    made = helper.make_model(
        graph,
        producer_name="sidechain",
        ir_version=FILE_FORMAT,
        opset_imports=[helper.make_opsetid("", OPERATORS), helper.make_opsetid("ai.onnx.ml", ML_OPERATORS)],
    )
    helper.set_model_props(made, {"digest": model.digest, "names": " ".join(model.names)})
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))
