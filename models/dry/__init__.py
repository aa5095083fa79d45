"""The dry kernel: integers in, sealed entries out."""

from sidechain.models.dry.fold import (
    DeadLetter,
    Fold,
    Folded,
    Latest,
    Line,
    StateMismatch,
    unknown,
)
from sidechain.models.dry.program import SignalValue, UnknownSignal

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
