"""How a lane can end, by what has to happen next."""

from typing import Final, Literal, get_args

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    TransactionCoordinatorFenced,
    UnknownProducerId,
)

from sidechain.agents.problems import EnvironmentProblem, Problem

Remedy = Literal["gap", "epoch"]  # what `sidechain repair` can do about it; the kind of the entry it then seals
REMEDIES: Final[tuple[Remedy, ...]] = get_args(Remedy)


class Refused(EnvironmentProblem):
    """The log does not allow deciding on; a person must act. The shard stays ours and stands still."""

    def __init__(self, why: str, remedy: Remedy | None = None) -> None:
        """`remedy`: what helps when nothing can be restored; None where a repair would be the wrong answer."""
        super().__init__(why)
        self.remedy = remedy


class Revoked(Problem):
    """The shard is no longer ours."""


class NotAccounted(Exception):  # noqa: N818 - reads as the sentence it makes
    """Inputs and entries do not balance: a fault of ours, and the worker ends before anything is written."""


_FENCED: Final = (
    ProducerFenced,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    TransactionCoordinatorFenced,
    UnknownProducerId,
)
_PASSING: Final = (KafkaConnectionError, KafkaTimeoutError, TimeoutError, ConnectionError)


def is_fenced(fault: BaseException) -> bool:
    """Another owner has begun to write under our transactional ids."""
    return isinstance(fault, _FENCED) or isinstance(fault.__cause__, _FENCED)


def is_passing(fault: BaseException) -> bool:
    """Worth trying again from the log: the broker, the network or a leader was away."""
    if isinstance(fault, EnvironmentProblem):
        return not isinstance(fault, Refused)
    return isinstance(fault, _PASSING) or (isinstance(fault, KafkaError) and bool(fault.retriable))
