"""The dry kernel: integers in, sealed entries out."""

from sidechain.models.dry.fold import Fold, Folded, Latest, StateMismatch, unknown
from sidechain.models.dry.program import SignalValue, UnknownSignal
from sidechain.models.dry.records import DeadLetter, Line

__all__ = [
    "DeadLetter",
    "Fold",
    "Folded",
    "Latest",
    "Line",
    "SignalValue",
    "StateMismatch",
    "UnknownSignal",
    "unknown",
]
