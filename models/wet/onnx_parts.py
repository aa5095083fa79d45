"""What ONNX files of tree ensembles are put together from: attributes of a node, a value that goes in or out.

Numbers of fields and kinds are those of onnx.proto.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.protobuf import content, singles, text, whole, wholes

FILE_FORMAT: Final = 8
OPERATORS: Final = 17  # version of the standard's operators
ML_OPERATORS: Final = 3
FLOAT: Final = 1  # of a tensor's elements
OF_FLOAT, OF_INT, OF_TEXT, OF_FLOATS, OF_INTS, OF_TEXTS = 1, 2, 3, 6, 7, 8  # kinds of attributes


def attribute(name: str, kind: int, value: bytes) -> bytes:
    """One attribute of a node; `value` is its field."""
    return content(5, text(1, name) + value + whole(20, kind))


def integers(name: str, values: NDArray[np.integer]) -> bytes:
    """An attribute that is a row of whole numbers."""
    return attribute(name, OF_INTS, wholes(8, values.tolist()))


def floats(name: str, values: NDArray[np.float32]) -> bytes:
    """An attribute that is a row of float32."""
    return attribute(name, OF_FLOATS, singles(7, values))


def texts(name: str, values: list[str]) -> bytes:
    """An attribute that is a row of texts."""
    return attribute(name, OF_TEXTS, b"".join(text(9, one) for one in values))


def tensor(name: str, width: int) -> bytes:
    """What goes in or comes out: a matrix of any number of rows."""
    shape = content(1, text(2, "rows")) + content(1, whole(1, width))
    return text(1, name) + content(2, content(1, whole(1, FLOAT) + content(2, shape)))


def constant(name: str, value: float) -> bytes:
    """One float32 a graph holds."""
    return whole(1, 1) + whole(2, FLOAT) + singles(4, np.array([value], dtype=np.float32)) + text(8, name)


def file(graph: bytes, properties: dict[str, str]) -> bytes:
    """The whole of it."""
    return b"".join(
        (
            whole(1, FILE_FORMAT),
            text(2, "sidechain"),
            content(7, graph),
            content(8, text(1, "") + whole(2, OPERATORS)),
            content(8, text(1, "ai.onnx.ml") + whole(2, ML_OPERATORS)),
            *(content(14, text(1, name) + text(2, value)) for name, value in properties.items()),
        )
    )
