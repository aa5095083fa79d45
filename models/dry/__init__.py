"""The dry kernel: integers in, sealed entries out."""

from sidechain.models.dry.fold import Fold, Folded, Latest, LatestOf, StateMismatch, nothing_said, unknown
from sidechain.models.dry.program import SignalValue, UnknownSignal
from sidechain.models.dry.records import DeadLetter, Line

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
