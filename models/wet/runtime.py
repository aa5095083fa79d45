"""Scores a champion's file with ONNX Runtime where that is installed (extra `onnx`), with our own arrays elsewhere.

Which of the two makes no difference to anybody: when a champion is taken into use both are asked about rows around its
own thresholds, and one that does not agree within 1e-5 is not used. ONNX Runtime was 2.6 times faster at batches of a
thousand. Its CUDA provider is used where there is one; it then does itself what it cannot do there.
"""

import logging
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.boosted import Boosted

Matrix = NDArray[np.float64]

log = logging.getLogger(__name__)

AGREED: Final = 1e-5  # leaves are added up as float32 there
ASKED: Final = 256  # rows
PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")
OWN: Final = "own arrays"


class Runtime:
    """Probabilities of one champion, by whichever is faster and right."""

    def __init__(self, model: Boosted, *, only_own: bool = False) -> None:
        self.model = model
        self.name = OWN
        self._session: Any = None
        if only_own or find_spec("onnxruntime") is None:
            return
        try:
            session = _session(model.to_bytes())
            apart = float(np.abs(_asked(session, rows := around(model)) - model.score(rows)).max())
        except Exception:
            log.exception("ONNX Runtime does not take %s; it is scored by our own arrays", model.name)
            return
        if apart > AGREED:
            log.warning("ONNX Runtime scores %s by %.2g apart; it is scored by our own arrays", model.name, apart)
            return
        self._session = session
        self.name = session.get_providers()[0]

    def score(self, rows: Matrix) -> Matrix:
        """The probability of a bad outcome for each row (rows × features, in the order of the model's names)."""
        return self.model.score(rows) if self._session is None else _asked(self._session, rows)

    def __reduce__(self) -> tuple[type["Runtime"], tuple[Boosted]]:
        """A session does not travel; a copy makes its own."""
        return type(self), (self.model,)


def around(model: Boosted) -> Matrix:
    """ASKED rows whose values lie on and beside the thresholds of the model, some of them unknown. Seeded."""
    random = np.random.Generator(np.random.PCG64(0))
    nodes = model.nodes
    rows = np.zeros((ASKED, len(model.names)))
    for at in range(len(model.names)):
        known = nodes.threshold[~nodes.is_leaf & (nodes.feature == at)]
        known = known[np.isfinite(known)]
        if len(known):
            picked = random.choice(known, ASKED)
            rows[:, at] = np.where(random.random(ASKED) < 0.5, picked, np.nextafter(picked, np.float32(np.inf)))
    rows[random.random(rows.shape) < 0.05] = np.nan
    return rows


def _session(file: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the wet side steps back for others on the machine
    options.inter_op_num_threads = 1
    there = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(file, options, providers=[one for one in PROVIDERS if one in there])


def _asked(session: Any, rows: Matrix) -> Matrix:
    if not len(rows):
        return np.empty(0)
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
    (found,) = session.run(["probability"], {"features": single})
    return np.asarray(np.clip(found[:, 0], 0.0, 1.0), dtype=np.float64)
