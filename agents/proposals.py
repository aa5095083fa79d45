"""Proposals on `human.proposals`: writing one, finding one, and what became of each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.activate_list import Activated, activations
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.known_policies import genesis_ref, policy_in
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models import utc
from sidechain.models.dry.lists import Content, Table
from sidechain.models.list_rows import ListRows as RowsAtHand
from sidechain.models.policy import Policy
from sidechain.models.proposal import RECORD_MAX_BYTES, BadProposal, ListRows, PolicyText, Proposal, read

PREFIX_LEAST: Final = 8  # digits of an id that a person may leave it at
State = Literal["open", "expired", "activated"]


@dataclass(frozen=True)
class Proposed:
    """One proposal, and what became of it."""

    proposal: Proposal
    offset: int  # on human.proposals
    activated: int | None  # the offset on `control` of the first record that names it

    def state(self, now_ms: int) -> State:
        """As of a person's clock."""
        if self.activated is not None:
            return "activated"
        return "expired" if now_ms >= self.proposal.expires else "open"


@dataclass(frozen=True)
class Unreadable:
    """A record that is no proposal."""

    offset: int
    why: str


def now_ms() -> int:
    """By this machine's clock."""
    return time.time_ns() // 1_000_000


async def proposed(config: Config) -> tuple[list[Proposed], list[Unreadable]]:
    """Every proposal in the order it was made, and what else stands there. The first record of an id counts."""
    found: dict[str, tuple[Proposal, int]] = {}
    unreadable = []
    async with Reader(kafka_options(config), config.topic("human.proposals")) as reader:
        async for records in reader.to_end(await reader.partitions()):
            for one in records:
                try:
                    proposal = read(one.value)
                except BadProposal as fault:
                    unreadable.append(Unreadable(one.offset, str(fault)))
                    continue
                found.setdefault(proposal.id, (proposal, one.offset))
    activated = await _activated(config)
    return [Proposed(one, offset, activated.get(one.id)) for one, offset in found.values()], unreadable


def waiting(found: Sequence[Proposed], at_ms: int) -> list[str]:
    """Those that somebody may activate still, a line each, in the order they were made."""
    still = [one.proposal for one in found if one.state(at_ms) == "open"]
    return [f"{one.target} by {one.author}, until {utc.text(one.expires)} ({one.id[:12]})" for one in still]


async def find(config: Config, name: str) -> Proposed:
    """The proposal with this id, or the only one whose id begins with it. Raises `UsageProblem`."""
    if len(name) < PREFIX_LEAST:
        raise UsageProblem(f"{name} is too short to name a proposal; give {PREFIX_LEAST} digits of its id or more")
    found, _ = await proposed(config)
    named = [one for one in found if one.proposal.id.startswith(name)]
    if not named:
        raise UsageProblem(f"there is no proposal {name}; `sidechain proposals list` shows those there are")
    if len(named) > 1:
        raise UsageProblem(f"{len(named)} proposals begin with {name}; give more digits")
    return named[0]


async def propose(config: Config, value: bytes) -> int:
    """Write a sealed proposal; returns its offset."""
    producer = AIOKafkaProducer(
        **kafka_options(config), acks="all", enable_idempotence=True, max_request_size=RECORD_MAX_BYTES + 65_536
    )
    try:
        await producer.start()
        topic, key = config.topic("human.proposals"), read(value).id.encode()
        return int((await producer.send_and_wait(topic, value, key, partition=0)).offset)
    finally:
        await producer.stop()


async def in_force(config: Config, given: Policy) -> tuple[str | None, Policy | None]:
    """The policy activated last, else the one the chains began under: its reference, and its text if anybody has it."""
    async with Topics.of(config) as topics:
        newest = None
        for record in (await topics.control()).values():
            if (one := policy_in(record)) is not None and one.name == given.name:
                newest = one
        if newest is not None:
            return newest.ref, newest
        refs = {ref for first in await topics.firsts() if (ref := genesis_ref(first)) is not None}
        if len(refs) != 1:
            return None, None
        ref = refs.pop()
        return ref, (await topics.policies(given, [ref])).get(ref)


def must_allow(one: Proposed, policy: Policy, at_ms: int) -> None:
    """Raises `UsageProblem` where the proposal is no ground to activate this policy now."""
    change, name = one.proposal.change, one.proposal.id[:12]
    if not isinstance(change, PolicyText):
        raise UsageProblem(f"proposal {name} is about {one.proposal.kind} {one.proposal.target}, not about a policy")
    if change.digest != policy.digest:
        raise UsageProblem(f"proposal {name} is about {change.policy}, and the file is {policy.ref}")
    if at_ms >= one.proposal.expires:
        raise UsageProblem(f"proposal {name} has expired; whoever still wants it makes a new one")


def must_allow_list(one: Proposed, ref: str, content: Content, at_ms: int) -> None:
    """Raises `UsageProblem` where the proposal is no ground to activate these rows now."""
    change, name = one.proposal.change, one.proposal.id[:12]
    if not isinstance(change, ListRows):
        raise UsageProblem(f"proposal {name} is about {one.proposal.kind} {one.proposal.target}, not about a list")
    if (change.list, change.digest) != (ref, content.digest):
        raise UsageProblem(f"proposal {name} is about {change.list}, and the file is {ref}")
    if at_ms >= one.proposal.expires:
        raise UsageProblem(f"proposal {name} has expired; whoever still wants it makes a new one")


async def rows_in_force(config: Config, pack: str, name: str) -> tuple[str | None, Table | None, list[Activated]]:
    """The version of a list that was activated last: how it is named, and its rows, if they are still there.

    And every activation of it there was.
    """
    found = [one for one in await activations(config, pack) if one.wanted.list_name == name]
    if not found:
        return None, None, found
    last = found[-1]
    async with Topics.of(config) as topics:
        control = await topics.control()
    table = await asyncio.to_thread(RowsAtHand(control).of, last.offset, last.wanted)
    return last.wanted.ref, table, found


class _Named(msgspec.Struct):
    proposal: str = ""


async def _activated(config: Config) -> dict[str, int]:
    """The proposals that control records name: id -> offset of the first one."""
    async with Topics.of(config) as topics:
        found: dict[str, int] = {}
        for offset, record in (await topics.control()).items():
            try:
                named = msgspec.json.decode(record.value or b"", type=_Named).proposal
            except (ValueError, RecursionError):
                continue
            if named:
                found.setdefault(named, offset)
        return found
