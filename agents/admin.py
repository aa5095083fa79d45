"""Make the topics on the cluster what the catalogue says, or say why not.

    plan = planned(config, await existing(options, names))     pure: what is missing, what differs, what is refused
    await applied(options, plan)                               nothing at all when one step is refused

Partition counts are never changed: each partition has its own chain, and a key's history lives on one partition.
Topics whose name the configuration overrides are somebody else's: they are checked, created when missing, and
otherwise left as they are.
"""

import asyncio
import shlex
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem
from sidechain.agents.settings import Config
from sidechain.topics.catalog import Topic, catalog

TIMEOUT_MS: Final = 30_000
VISIBLE_S: Final = 15.0  # until a broker names what its controller has created
LOOK_S: Final = 0.05
SET_ON_TOPIC: Final = 1  # the source Kafka gives for a setting of the topic itself; others are inherited
ALREADY_EXISTS: Final = 36


class Existing(msgspec.Struct, frozen=True, kw_only=True):
    """A topic on the cluster."""

    partitions: int
    replication: int
    settings: dict[str, str]  # in force, inherited ones too
    own: dict[str, str]  # set on the topic itself


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one topic."""

    logical: str
    name: str
    action: Literal["none", "create", "change", "refuse"]
    partitions: int
    replication: int
    settings: dict[str, str] = {}  # to set: all of them on create, those that differ on change
    why: str = ""


@asynccontextmanager
async def administrator(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client."""
    client = AIOKafkaAdminClient(**options, request_timeout_ms=TIMEOUT_MS)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def existing(options: Mapping[str, Any], names: Collection[str]) -> dict[str, Existing]:
    """Those of the named topics that the cluster has."""
    async with administrator(options) as client:
        # All topics are asked for: naming one that is missing would create it where the broker is set to.
        described = {one["topic"]: one for one in await client.describe_topics() if one["topic"] in names}
        settings = await _settings(client, described)
        return {name: _existing(one, settings[name]) for name, one in described.items()}


def planned(config: Config, have: Mapping[str, Existing], only: Collection[str] | None = None) -> list[Step]:
    """What to do about every topic of the catalogue, or about those with a logical name in `only`."""
    topics = [one for one in catalog().values() if only is None or one.name in only]
    return [_step(topic, config, have.get(config.topic(topic.name))) for topic in topics]


async def applied(options: Mapping[str, Any], plan: Sequence[Step]) -> None:
    """Carry out a plan. Raises AnswerIsNo, with nothing done, when a step of it is refused."""
    if refused := [step for step in plan if step.action == "refuse"]:
        raise AnswerIsNo(_refusal(refused))
    async with administrator(options) as client:
        await _create(client, [step for step in plan if step.action == "create"])
        for step in plan:
            if step.action == "change":
                await _change(client, step)


async def ensure(config: Config, only: Collection[str] | None = None) -> list[Step]:
    """Plan and apply in one go; returns the plan that was carried out."""
    options = kafka_options(config)
    names = {config.topic(logical) for logical in only or catalog()}
    plan = planned(config, await existing(options, names), only)
    await applied(options, plan)
    return plan


def commands(config: Config, plan: Sequence[Step]) -> list[str]:
    """The same plan as commands for whoever may create topics on the cluster."""
    access = ["--bootstrap-server", config.bootstrap]
    if config.security_protocol != "PLAINTEXT":
        access += ["--command-config", "client.properties"]
    lines = []
    for step in plan:
        pairs = [f"{name}={value}" for name, value in step.settings.items()]
        if step.action == "create":
            sizes = ["--partitions", str(step.partitions), "--replication-factor", str(step.replication)]
            settings = [word for pair in pairs for word in ("--config", pair)]
            words = ["kafka-topics.sh", *access, "--create", "--if-not-exists", "--topic", step.name, *sizes, *settings]
            lines.append(shlex.join(words))
        elif step.action == "change":
            entity = ["--alter", "--entity-type", "topics", "--entity-name", step.name]
            lines.append(shlex.join(["kafka-configs.sh", *access, *entity, "--add-config", ",".join(pairs)]))
        elif step.action == "refuse":
            lines.append(f"# {step.why}")
    return lines


def _step(topic: Topic, config: Config, have: Existing | None) -> Step:
    wanted = topic.config()
    if config.replication >= 3:  # one broker may be down, and what was acknowledged is still on two
        wanted["min.insync.replicas"] = "2"
    count = topic.count(config.partitions)
    step = Step(
        logical=topic.name,
        name=config.topic(topic.name),
        action="none",
        partitions=count,
        replication=config.replication,
    )
    if have is None:
        return msgspec.structs.replace(step, action="create", settings=wanted)
    step = msgspec.structs.replace(step, replication=have.replication)
    if have.partitions != count:
        return msgspec.structs.replace(
            step, action="refuse", why=f"{step.name} has {have.partitions} partitions, not {count}"
        )
    differs = {name: value for name, value in wanted.items() if have.settings.get(name, value) != value}
    if not differs:
        return step
    said = ", ".join(f"{name} is {have.settings[name]} and should be {value}" for name, value in differs.items())
    if topic.name in config.topics:
        return msgspec.structs.replace(step, why=f"left as it is, because the configuration names it: {said}")
    return msgspec.structs.replace(step, action="change", settings=differs, why=said)


def _refusal(steps: Sequence[Step]) -> str:
    """Why nothing was done, and the way out, said once for all topics."""
    listed = "; ".join(step.why for step in steps)
    if not any(catalog()[step.logical].co_partitioned for step in steps):
        return f"{listed}: its records have one order; delete it if it is empty, or set another name or prefix"
    return (
        f"{listed}. A partition count cannot change later: every partition has its own chain, and with another count a "
        "key's next event would reach a chain that knows nothing of it. Set `partitions` to what the topics have, or "
        "begin anew under another prefix, where `sidechain rekey` can copy the events to"
    )


async def _settings(client: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, dict[str, tuple[str, int]]]:
    """Per topic, every setting with its value and where it was set."""
    if not names:
        return {}
    found: dict[str, dict[str, tuple[str, int]]] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for response in await client.describe_configs(resources):
        for code, message, _kind, name, entries in response.resources:
            if code:
                raise EnvironmentProblem(f"the settings of {name} cannot be read: {message or for_code(code).__name__}")
            found[name] = {one[0]: (one[1], one[3]) for one in entries}
    return found


def _existing(described: Mapping[str, Any], settings: Mapping[str, tuple[str, int]]) -> Existing:
    partitions = described["partitions"]
    return Existing(
        partitions=len(partitions),
        replication=min((len(one["replicas"]) for one in partitions), default=0),
        settings={name: value for name, (value, _) in settings.items() if value is not None},
        own={name: value for name, (value, source) in settings.items() if source == SET_ON_TOPIC},
    )


async def _create(client: AIOKafkaAdminClient, steps: Sequence[Step]) -> None:
    if not steps:
        return
    asked = [NewTopic(one.name, one.partitions, one.replication, topic_configs=one.settings) for one in steps]
    answer = await client.create_topics(asked)
    for name, code, *message in answer.topic_errors:
        if code and code != ALREADY_EXISTS:
            reason = (message and message[0]) or for_code(code).__name__
            raise EnvironmentProblem(
                f"{name} was not created: {reason}; `sidechain topics apply --dry-run` prints the commands for "
                "somebody who may"
            )
    await _visible(client, steps)


async def _visible(client: AIOKafkaAdminClient, steps: Sequence[Step]) -> None:
    """Wait until the broker names what was created: its answer is the controller's, which is ahead of it.

    Raises EnvironmentProblem when that takes too long, and when somebody else was faster and wanted it otherwise.
    """
    wanted = {one.name: one.partitions for one in steps}
    found: dict[str, int] = {}
    try:
        async with asyncio.timeout(VISIBLE_S):
            while not wanted.keys() <= (found := await _counts(client)).keys():  # noqa: ASYNC110 - the broker has no event for it
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        missing = ", ".join(sorted(wanted.keys() - found.keys()))
        raise EnvironmentProblem(
            f"created, but after {VISIBLE_S:.0f} s the broker does not name {missing}; ask again"
        ) from None
    for name, partitions in wanted.items():
        if found[name] != partitions:
            raise EnvironmentProblem(
                f"somebody else created {name} meanwhile, with {found[name]} partitions and not {partitions}"
            )


async def _counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    return {one["topic"]: len(one["partitions"]) for one in await client.describe_topics()}


async def _change(client: AIOKafkaAdminClient, step: Step) -> None:
    # This request replaces all of a topic's own settings, so those that stay are sent along.
    own = {
        name: value
        for name, (value, source) in (await _settings(client, [step.name]))[step.name].items()
        if source == SET_ON_TOPIC
    }
    resource = ConfigResource(ConfigResourceType.TOPIC, step.name, configs=own | step.settings)
    for response in await client.alter_configs([resource]):
        for code, message, _kind, name in response.resources:
            if code:
                raise EnvironmentProblem(f"{name} was not changed: {message or for_code(code).__name__}")
