"""One installation whose partitions are broken, each in a way of its own: what a worker must refuse, side by side.

Most chains are a real worker's, broken afterwards by what any client with rights can do: write records, delete
records. What no client can do to a log (shorten it, alter a record) is written by hand into a partition that had none.
"""

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.layout import LAYOUT_KEY, Layout
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.policy import Policy
from tests.lanes import Process, made, request, second_version, send, visible, wait_decided

(
    WHOLE,
    LINK,
    HOLE,
    ALTERED,
    EMPTY,
    TEXT,
    SWAPPED,
    FORGED,
    NO_CHAIN,
    NO_STATE,
    POLICY,
    EXPIRED,
    SHORT,
    JUNK,
    MIDDLE,
    CONTROL,
) = range(16)
PARTITIONS = 16
DECIDED = 6  # events of each partition before it is broken
BY_HAND = (POLICY, SHORT, MIDDLE, CONTROL)


def hosts(partition: int) -> str:
    return f"h{partition}.example"


def events(partition: int, first: int, count: int) -> list[tuple[int, bytes, bytes]]:
    """Requests of a partition's own host; ids are of that partition."""
    host = hosts(partition)
    return [
        (partition, host.encode(), request(n, host, id=f"p{partition}-{n:04d}")) for n in range(first, first + count)
    ]


def ruined(config: Config, log: Path) -> None:
    """Create the topics, let a worker decide, then break every partition but one."""
    made(config)
    at_work = [one for one in range(PARTITIONS) if one not in BY_HAND]
    send(config, [one for partition in at_work for one in events(partition, 0, DECIDED)])
    with Process(config, log, partitions=PARTITIONS, shard_size=1) as worker:
        wait_decided(config, DECIDED * len(at_work), [worker])
        assert worker.stop() == 0
    chains = {one: [record.value for record in records] for one, records in visible(config, "dry.decisions").items()}
    _append_wrongly(config, chains)
    _delete(config, chains)
    _write_by_hand(config)


def resealed(line: bytes, **changed: Any) -> bytes:
    """The entry with other fields, sealed as anybody with the code could."""
    entry = {**msgspec.json.decode(line), **changed}
    del entry["hash"]
    body = msgspec.json.encode(entry)[:-1]
    return b'%b,"hash":"%b"}' % (body, sha256(body).hexdigest().encode())


def following(line: bytes, **changed: Any) -> bytes:
    """An entry that links rightly to `line`, although no worker made it."""
    last = msgspec.json.decode(line)
    return resealed(line, **{"seq": last["seq"] + 1, "prev": last["hash"], **changed})


def _append_wrongly(config: Config, chains: dict[int, list[bytes]]) -> None:
    def last(partition: int) -> bytes:
        return chains[partition][-1]

    wrong = {
        LINK: following(last(LINK), prev="ab" * 32),
        HOLE: following(last(HOLE), seq=DECIDED + 1),
        ALTERED: following(last(ALTERED)).replace(b'"action":"allow"', b'"action":"block"'),
        EMPTY: None,
        TEXT: b"not json",
        FORGED: following(last(FORGED)),
    }
    send(config, [(partition, b"k", value) for partition, value in wrong.items()], "dry.decisions")
    send(config, [(JUNK, b"k:" + hosts(JUNK).encode(), b"junk")], "dry.state")


def _delete(config: Config, chains: dict[int, list[bytes]]) -> None:
    state = visible(config, "dry.state")
    asyncio.run(delete_records(config, [("dry.decisions", NO_CHAIN), ("dry.decisions", SWAPPED)]))
    # A compacted topic does not let records be deleted; whoever may write to it can have them forgotten.
    send(config, [(one, record.key, None) for one in (NO_STATE, SWAPPED) for record in state[one]], "dry.state")
    send(config, [(SWAPPED, b"k", line) for line in chains[WHOLE]], "dry.decisions")
    send(config, [(SWAPPED, record.key, record.value) for record in state[WHOLE]], "dry.state")
    send(config, events(EXPIRED, DECIDED, 4))
    asyncio.run(delete_records(config, [("events", EXPIRED)]))


def _write_by_hand(config: Config) -> None:
    policy = config.loaded_policy
    _write(config, POLICY, _decided(second_version(config), POLICY, 0))
    _write(config, SHORT, _decided(policy, SHORT, 1_000))
    fold, lines = _decided(policy, MIDDLE, 0, count=40)
    lines[5] = lines[5].replace(b'"action":"allow"', b'"action":"block"')
    _write(config, MIDDLE, (fold, lines))
    fold, lines = _decided(policy, CONTROL, 0)
    lines += [line for _, line in fold.control(Line(6, b"k", b"no policy")).entries]
    _write(config, CONTROL, (fold, lines))
    send(config, [(CONTROL, b"k", b"no policy")], "dry.deadletters")
    send(config, events(CONTROL, 0, DECIDED) + events(POLICY, 0, DECIDED) + events(MIDDLE, 0, 40) + events(SHORT, 0, 2))


def _decided(policy: Policy, partition: int, offset: int, count: int = DECIDED) -> tuple[Fold, list[bytes]]:
    fold = Fold(policy, partition)
    inputs = [Line(offset + at, key, value) for at, (_, key, value) in enumerate(events(partition, offset, count))]
    return fold, [line for _, line in fold.events(inputs).entries]


def _write(config: Config, partition: int, chain: tuple[Fold, Sequence[bytes]]) -> None:
    fold, lines = chain
    layout = msgspec.json.encode(Layout(partitions=PARTITIONS, shard_size=1))
    changes = [one for one in fold.changes() if partition != POLICY or not one[0].startswith(POLICY_PREFIX)]
    send(config, [(partition, b"k", line) for line in lines], "dry.decisions")
    send(config, [(partition, *one) for one in [(LAYOUT_KEY, layout), *changes]], "dry.state")


async def delete_records(config: Config, all_of: Iterable[tuple[str, int]]) -> None:
    """Everything these (logical topic, partition) hold, as retention or an operator would."""
    client = AIOKafkaAdminClient(**kafka_options(config))
    await client.start()
    try:
        await client.delete_records({TopicPartition(config.topic(t), p): RecordsToDelete(-1) for t, p in all_of})
    finally:
        await client.close()


def records(config: Config) -> dict[tuple[str, int], list[tuple[int, bytes | None, bytes | None]]]:
    """What the chains and changelogs hold, record by record."""
    return {
        (topic, partition): [(one.offset, one.key, one.value) for one in found]
        for topic in ("dry.decisions", "dry.state", "dry.deadletters")
        for partition, found in visible(config, topic).items()
    }
