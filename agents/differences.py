"""The same chain without what the wet side said: which decisions would have been others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sidechain.agents.proof import Topics
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.entry import is_epoch
from sidechain.models.dry.replay import Replayer
from sidechain.models.policy import Policy


@dataclass
class Difference:
    """One decision that would have been another without what the wet side said."""

    id: str
    key: str
    partition: int
    seq: int
    action: str
    without_signals: str
    signals: Mapping[str, Any]


@dataclass
class Differences:
    """What a comparison found, and what it could not compare."""

    decisions: list[Difference] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # the first of each epoch; what follows it there was not compared


async def differences(topics: Topics, policy: Policy) -> Differences:
    """Decide the same inputs without any signal. `policy`: the one given to the workers."""
    found = Differences()
    async for partition, replayer, fault, batches in topics.replayers(policy, use_signals=False):
        walk = _Walk(partition, replayer, found)
        if fault is not None:
            walk.stop(fault)
        async for lines in batches:
            for line in lines:
                walk.take(line)
    return found


class _Walk:
    """One partition's entries, in order. A fault ends the comparison up to the next epoch."""

    def __init__(self, partition: int, replayer: Replayer, found: Differences) -> None:
        self._partition = partition
        self._replayer = replayer
        self._found = found
        self._is_stopped = False

    def stop(self, fault: Fault) -> None:
        """Nothing is compared up to the next epoch."""
        self._found.faults.append(f"partition {self._partition}: {fault}")
        self._is_stopped = True

    def take(self, line: bytes) -> None:
        """The next entry."""
        if self._is_stopped and not is_epoch(line):
            return
        self._is_stopped = False
        again = self._replayer.again(line)
        if isinstance(again, Fault):
            self.stop(again)
            return
        live, silent = msgspec.json.decode(line), msgspec.json.decode(again)
        if live["kind"] == "decision" and live["action"] != silent["action"]:
            self._found.decisions.append(
                Difference(
                    live["id"],
                    live["key"],
                    self._partition,
                    live["seq"],
                    live["action"],
                    silent["action"],
                    live["signals"],
                )
            )
