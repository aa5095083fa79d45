"""Put a list in force: its rows on `control`, then one record that names them, and word from every partition.

Rows that stand there already are not written again: going back to an earlier version is one small record.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import UsageProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.dry.lists import Activation, is_rows, list_ref, read_activation
from sidechain.models.list_file import ListText
from sidechain.models.policy import Policy
from sidechain.topics.codec import encode
from sidechain.topics.human import ListRecord, RowsRecord

TAIL: Final = 256  # of a partition's last records, among which a decision says which lists it could ask

Told = Callable[[int], None]  # told how many rows were written since the last call


class Activated(NamedTuple):
    """A list that `control` puts in force, and where."""

    offset: int
    wanted: Activation


async def activations(config: Config, pack: str) -> list[Activated]:
    """Every record on `control` that puts a list of this pack in force, in order."""
    found = []
    async with Reader(kafka_options(config), config.topic("control")) as reader:
        async for records in reader.to_end(await reader.partitions()):
            for one in records:
                wanted = None if is_rows(one.value) else read_activation(one.value)
                if wanted is not None and wanted.name == pack:
                    found.append(Activated(one.offset, wanted))
    return found


class Unlike(msgspec.Struct, frozen=True, kw_only=True):
    """A list that stands on `control` with other types than a policy declares it with: under that policy unknown."""

    list: str
    in_force: str  # `limits@3:5d41402abc4b`
    types: str  # `string to int`
    declared: str
    policy: str

    def __str__(self) -> str:
        return (
            f"list {self.list} stands on `control` as {self.types} ({self.in_force}), and {self.policy} declares it as "
            f"{self.declared}: under this policy it is unknown until a version with these types is activated"
        )


async def lists_unlike(config: Config, policy: Policy) -> list[Unlike]:
    """The lists that are in force and yet unknown to a policy; `control` is read for one that declares any."""
    return unlike(policy, await activations(config, policy.name)) if policy.lists else []


def unlike(policy: Policy, found: Sequence[Activated]) -> list[Unlike]:
    """Those among these whose last version is not such as the policy declares them."""
    last = {one.wanted.list_name: one.wanted for one in found}
    return [
        Unlike(
            list=one.name,
            in_force=wanted.ref,
            types=_types(wanted.key_type, wanted.value_type),
            declared=_types(one.key_type, one.value_type),
            policy=policy.ref,
        )
        for one in policy.lists
        if (wanted := last.get(one.name)) is not None and not wanted.is_of(one)
    ]


def _types(key: str, value: str | None) -> str:
    return key if value is None else f"{key} to {value}"


def standing(found: Sequence[Activated], name: str, version: int, text: ListText) -> Activated | None:
    """The record that put this very version in force, when nothing came after it; None when it is to be activated.

    Raises `UsageProblem` when this version's number stands for other rows: a number has one meaning.
    """
    of_list = [one for one in found if one.wanted.list_name == name]
    for one in of_list:
        if one.wanted.version == version and one.wanted.kind_of_rows != text.content:
            raise UsageProblem(
                f"version {version} of {name} stands on `control` (offset {one.offset}) with other rows "
                f"({one.wanted.ref}); give these another number"
            )
    last = of_list[-1] if of_list else None
    return last if last is not None and last.wanted.version == version else None


async def activate_list(
    config: Config,
    pack: str,
    name: str,
    version: int,
    by: str,
    text: ListText,
    found: Sequence[Activated],
    told: Told,
    proposal: str | None = None,
) -> int:
    """Write the rows, where they do not stand there yet, and the activation; returns its offset on `control`.

    `proposal`: the id of the one it follows.
    """
    topic, key = config.topic("control"), f"{pack}/{name}".encode()
    content = text.content
    written = next((one.wanted.chunks for one in found if one.wanted.kind_of_rows == content), None)
    producer = AIOKafkaProducer(
        **kafka_options(config), acks="all", enable_idempotence=True, max_request_size=8_000_000
    )
    try:
        await producer.start()
        if written is None:
            offsets = []
            for rows in text.chunks:
                value = encode(RowsRecord(name=pack, list_name=name, rows=rows))
                sent = await producer.send_and_wait(topic, value, key, partition=0)
                offsets.append(int(sent.offset))
                told(rows.count("\n"))
            written = tuple(offsets)
        record = ListRecord(
            name=pack,
            list_name=name,
            version=version,
            digest=content.digest,
            rows=content.rows,
            key_type=content.key_type,
            value_type=content.value_type,
            by=by,
            at=time.time_ns() // 1_000_000,
            chunks=written,
            proposal=msgspec.UNSET if proposal is None else proposal,
        )
        sent = await producer.send_and_wait(topic, encode(record), key, partition=0)
        return int(sent.offset)
    finally:
        await producer.stop()


async def last_cited(config: Config) -> dict[int, dict[str, str | None]]:
    """By partition, the versions its last decision could ask; partitions without one among their last records lack."""
    cited: dict[int, dict[str, str | None]] = {}
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        partitions = await reader.partitions()
        ends = await reader.ends(partitions)
        begin = {one: max(0, end - TAIL) for one, end in ends.items()}
        async for records in reader.to_end(partitions, start=begin):
            for one in records:
                try:
                    entry = msgspec.json.decode(one.value or b"", type=_Cited)
                except (ValueError, RecursionError):
                    continue
                if entry.kind == "decision":
                    cited[one.partition] = entry.lists
                elif entry.kind == "list":
                    cited.setdefault(one.partition, {})
                    cited[one.partition] = {**cited[one.partition], entry.list_ref.partition("@")[0]: entry.list_ref}
    return cited


class _Cited(msgspec.Struct, rename={"list_ref": "list"}):
    kind: str
    lists: dict[str, str | None] = {}
    list_ref: str = ""


def ref_of(name: str, version: int, text: ListText) -> str:
    """How entries will name it."""
    return list_ref(name, version, text.content.digest)
