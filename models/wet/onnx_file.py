"""A champion as an ONNX file: what it is kept as here, and what any other runtime scores.

    champion-3-ab12cd34.onnx     input `features` (rows, features) float32, NaN: unknown; output `probability` (rows, 1)

A tree ensemble of the standard's ML operators and a sigmoid, its thresholds and leaves those of `boosted`. The standard
adds leaves up as float32, so another runtime's probabilities agree within 1e-5. What it has no place for stands in the
metadata, and makes the file the whole model: `names` tells the order of the columns, `leaves` the leaves as float64,
`cover` how many training rows reached each node (both in base 64, little endian), `intercept` the log-odds of nothing.

The same model gives the same bytes. Needs no library, and reading one runs no code.
"""

from base64 import b64decode, b64encode
from typing import Final, NamedTuple

import numpy as np

from sidechain.models.wet.nodes import Nodes, check
from sidechain.models.wet.onnx_parts import OF_INT, OF_TEXT, attribute, file, floats, integers, tensor, texts
from sidechain.models.wet.protobuf import content, fields, read_singles, read_wholes, text, whole

FORMAT: Final = 1
BYTES_MOST: Final = 8 * 1024 * 1024  # sixteen times our largest; what is read takes fifty times that at worst


class Content(NamedTuple):
    """What such a file holds."""

    version: int
    names: tuple[str, ...]
    intercept: float
    nodes: Nodes


def file_name(version: int, digest: str) -> str:
    """What to call the file: version and digest of the model."""
    return f"champion-{version}-{digest[:8]}.onnx"


def write(told: Content) -> bytes:
    """The file."""
    nodes = told.nodes
    leaf = nodes.is_leaf
    tree = _trees(nodes)
    own = np.arange(len(leaf)) - nodes.root[tree]  # nodes are numbered within their tree
    ensemble = (
        text(1, "features"),
        text(2, "log_odds"),
        text(4, "TreeEnsembleRegressor"),
        integers("nodes_treeids", tree),
        integers("nodes_nodeids", own),
        integers("nodes_featureids", nodes.feature),
        floats("nodes_values", np.where(leaf, np.float32(0.0), nodes.threshold)),
        texts("nodes_modes", ["LEAF" if one else "BRANCH_LEQ" for one in leaf]),
        integers("nodes_truenodeids", np.where(leaf, 0, nodes.left - nodes.root[tree])),
        integers("nodes_falsenodeids", np.where(leaf, 0, nodes.right - nodes.root[tree])),
        integers("nodes_missing_value_tracks_true", nodes.unknown_left.astype(np.int32)),
        integers("target_treeids", tree[leaf]),
        integers("target_nodeids", own[leaf]),
        integers("target_ids", np.zeros(int(leaf.sum()), dtype=np.int32)),
        floats("target_weights", nodes.value[leaf].astype(np.float32)),
        attribute("n_targets", OF_INT, whole(3, 1)),
        floats("base_values", np.array([told.intercept], dtype=np.float32)),
        attribute("aggregate_function", OF_TEXT, text(4, "SUM")),
        # LOGISTIC would do instead of the sigmoid, but ONNX Runtime passes over it in a regressor.
        attribute("post_transform", OF_TEXT, text(4, "NONE")),
        text(7, "ai.onnx.ml"),
    )
    sigmoid = (text(1, "log_odds"), text(2, "probability"), text(4, "Sigmoid"))
    graph = (
        content(1, b"".join(ensemble)),
        content(1, b"".join(sigmoid)),
        text(2, "champion"),
        content(11, tensor("features", len(told.names))),
        content(12, tensor("probability", 1)),
    )
    properties = {
        "format": str(FORMAT),
        "version": str(told.version),
        "names": " ".join(told.names),
        "intercept": told.intercept.hex(),
        "leaves": b64encode(nodes.value[leaf].astype("<f8").tobytes()).decode(),
        "cover": b64encode(nodes.cover.astype("<i4").tobytes()).decode(),
    }
    return file(b"".join(graph), properties)


def read(data: bytes) -> Content:
    """What `write` wrote. Raises ValueError when it is something else."""
    if len(data) > BYTES_MOST:
        raise ValueError(f"a file of {len(data):,} bytes is no champion; {BYTES_MOST:,} are read")
    try:
        found = _read(data)
        check(found.nodes, len(found.names))
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as fault:
        raise ValueError(f"this is not a champion that this version of Sidechain reads: {fault}") from None
    return found


def _read(data: bytes) -> Content:
    graph, properties = b"", {}
    for number, value in fields(data):
        if number == 7:
            graph = _bytes(value)
        elif number == 14:
            entry = dict(fields(_bytes(value)))
            properties[_bytes(entry[1]).decode()] = _bytes(entry.get(2, b"")).decode()
    if properties.get("format") != str(FORMAT):
        raise ValueError("its metadata does not say that it is one")
    attributes: dict[str, dict[int, int | bytes]] = {}
    node = next((_bytes(value) for number, value in fields(graph) if number == 1), b"")
    modes: list[bytes] = []
    for number, value in fields(node):
        if number != 5:
            continue
        every = list(fields(_bytes(value)))
        name = _bytes(dict(every)[1]).decode()
        attributes[name] = dict(every)
        if name == "nodes_modes":
            modes = [_bytes(one) for at, one in every if at == 9]

    def ints(name: str) -> np.ndarray:
        return np.array(read_wholes(_bytes(attributes[name][8])), dtype=np.int32)

    leaf = np.array([one == b"LEAF" for one in modes], dtype=np.bool_)
    count, tree = len(leaf), ints("nodes_treeids")
    root = np.flatnonzero(np.diff(tree, prepend=-1)).astype(np.int32)
    first, here = root[tree], np.arange(count, dtype=np.int32)
    leaves = np.zeros(count)
    leaves[leaf] = np.frombuffer(b64decode(properties["leaves"], validate=True), dtype="<f8")
    threshold = read_singles(_bytes(attributes["nodes_values"][7]))
    parts = Nodes(
        root=root,
        left=np.where(leaf, here, ints("nodes_truenodeids") + first).astype(np.int32),
        right=np.where(leaf, here, ints("nodes_falsenodeids") + first).astype(np.int32),
        feature=ints("nodes_featureids"),
        threshold=np.where(leaf, np.float32(np.inf), threshold).astype(np.float32),
        unknown_left=ints("nodes_missing_value_tracks_true").astype(np.bool_),
        value=leaves,
        cover=np.frombuffer(b64decode(properties["cover"], validate=True), dtype="<i4").astype(np.int32),
    )
    if any(len(one) != count for one in (parts.left, parts.feature, threshold, parts.unknown_left, parts.cover)):
        raise ValueError("its rows of nodes are not of one length")
    names = tuple(properties["names"].split(" "))
    return Content(int(properties["version"]), names, float.fromhex(properties["intercept"]), parts)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number stands where a text or a message should")
    return value


def _trees(nodes: Nodes) -> np.ndarray:
    """Of each node, which tree it is of."""
    ends = np.append(nodes.root[1:], len(nodes.left))
    return np.repeat(np.arange(len(nodes.root), dtype=np.int32), ends - nodes.root)
