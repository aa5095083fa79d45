"""Checking chains wherever they stand: in files, in an export, on the topics; and counting them on the way.

    found = check(Place(export=folder), trust, told, lambda policies: Ask(gates=gates_of(policies.values())))
    found.proofs, found.policies

Whoever asks for counts is told first which policies' texts are here, since some of what is counted depends on them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sidechain.agents.believing import Trust
from sidechain.agents.bundle import Bundle
from sidechain.agents.checkpoints import origin_of
from sidechain.agents.keys import read_public
from sidechain.agents.known_policies import genesis_ref
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Proof, Topics
from sidechain.agents.settings import Config
from sidechain.agents.verify_files import Beside, records_by_partition, unmatched, verify_files
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.policy import Policy
from sidechain.models.report.tally import Ask

Told = Callable[[int], None]
Policies = Mapping[str, Policy]  # by the reference entries cite
Asked = Callable[[Policies], Ask]


@dataclass(frozen=True)
class Place:
    """Where the entries are: one of the first two, or the topics."""

    files: Sequence[Path] = ()
    export: Path | None = None
    settings: Callable[[], Config] | None = None  # of the topics; asked only if they are read
    given: Callable[[], Policy | None] = lambda: None  # the policy somebody names, beside those found in the place
    checkpoints: Sequence[Path] = ()  # of the files
    jobs: int = 1


@dataclass(frozen=True)
class Found:
    """What was found of each chain."""

    proofs: list[Proof]
    trust: Trust  # as it was brought along, and what the settings add
    policies: Policies = field(default_factory=dict)


def check(place: Place, trust: Trust, told: Told, asked: Asked | None = None) -> Found:
    """Check every chain; with `asked`, count it as well.

    Raises `UsageProblem` for what cannot be read, `AnswerIsNo` for an export's file that was altered.
    """
    if place.export is not None:
        bundle = Bundle(place.export)
        policies = {**bundle.policies(), **_given(place)} if asked else {}
        proofs = bundle.verify(place.jobs, told, trust, asked and asked(policies))
        return Found(proofs, trust, policies)
    if place.files:
        policies = _given(place) if asked else {}
        beside = Beside(trust, records_by_partition(place.checkpoints))
        proofs = verify_files(place.files, place.jobs, told, beside, ask=asked and asked(policies))
        if asked:
            _one_each(proofs)
        return Found([*proofs, *unmatched(proofs, beside)], trust, policies)
    assert place.settings is not None
    settings = place.settings()
    if trust.root is None and settings.checkpoint_root_file is not None:
        trust = replace(trust, root=read_public(settings.checkpoint_root_file))
    proofs, policies = asyncio.run(_of_topics(settings, trust, told, asked))
    return Found([*proofs, *unmatched(proofs, Beside(trust))], trust, policies)


async def _of_topics(
    settings: Config, trust: Trust, told: Told, asked: Asked | None
) -> tuple[list[Proof], dict[str, Policy]]:
    log = origin_of(settings, 0, 0).log
    async with Topics.of(settings) as topics:
        if asked is None:
            return await topics.verify(told, trust, log), {}
        given = load_file(settings.policy) if settings.policy is not None else load_pack(str(settings.pack))
        begun = {ref for one in await topics.firsts() if (ref := genesis_ref(one)) is not None}
        policies = await topics.policies(given, begun)
        return await topics.verify(told, trust, log, asked(policies)), policies


def _given(place: Place) -> dict[str, Policy]:
    policy = place.given()
    return {} if policy is None else {policy.ref: policy}


def _one_each(proofs: Iterable[Proof]) -> None:
    """A chain that stands in two files would count twice."""
    seen: set[int] = set()
    for one in proofs:
        if one.partition in seen:
            raise UsageProblem(f"two of the files are of partition {one.partition}; each chain counts once")
        seen.add(one.partition)
