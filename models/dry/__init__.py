"""The dry kernel: integers in, sealed entries out."""

from sidechain.models.dry.fold import Fold, Folded
from sidechain.models.dry.head import StateMismatch
from sidechain.models.dry.program import SignalValue, UnknownSignal
from sidechain.models.dry.records import DeadLetter, Line
from sidechain.models.dry.said import Latest, LatestOf, nothing_said, unknown

__all__ = [
    "DeadLetter",
    "Fold",
    "Folded",
    "Latest",
    "LatestOf",
    "Line",
    "SignalValue",
    "StateMismatch",
    "UnknownSignal",
    "nothing_said",
    "unknown",
]
