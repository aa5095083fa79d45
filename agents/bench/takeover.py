"""`bench takeover`: how long a worker needs to take over a shard with many live keys after many updates.

The state is written here, not decided: real slots of real events of the pack stand in each record, the key, the `seq`
and the order of updates are drawn (seeded, every key equally often: nothing is worse for compaction). It goes out as a
lane's state does, in transactions of some thousand records a partition with the head last, to topics made from the
catalogue; ids stand for the last horizon of entries. Each chain gets one true entry, decided by a fold that believes
to have decided all the others. Then a real worker takes over: right behind the last update, and once more after the
broker's cleaner had time to do what the topic's settings ask of it.
"""

import asyncio
import re
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.admin import ensure
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, machine, place
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.layout import LAYOUT_KEY, Layout
from sidechain.agents.lane.producers import BATCH_BYTES
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.head import Head
from sidechain.models.dry.shares import share
from sidechain.models.dry.state import HEAD_KEY, IDS_PREFIX, Ids, digest_text
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy

MODELS: Final = 200  # keys whose slots are real; every other one copies one of them
EVENTS_EACH: Final = 20
A_BATCH: Final = 5_000  # updates of one partition in one transaction, as a loaded lane writes them
WITHIN_S: Final = 300.0
LOOK_S: Final = 0.05
QUIET_S: Final = 20.0  # the cleaner looks every 15 s: no change for longer means that it has done its work
CLEANING_S: Final = 240.0
TAKEN_OVER: Final = re.compile(r"shard 0: restored in ([\d.]+) s")
READ: Final = re.compile(r"read (\d+) state records, (\d+) of them live")

Record = tuple[bytes, bytes | None]


class _Written:
    """One partition's changelog while it is written, and what must stand in its head."""

    def __init__(
        self, policy: Policy, partition: int, partitions: int, keys: int, updates: int, models: list[bytes]
    ) -> None:
        self.partition = partition
        self._partitions = partitions
        self._keys = keys
        self._models = models
        self._updates = updates
        self._reached = 0
        self._seqs = array("Q", bytes(8 * keys))
        self._ids = Ids(policy.event.duplicate_horizon)
        self._blocks: dict[bytes, bytes] = {}
        self._ids_from = updates - policy.event.duplicate_horizon

    def batch(self) -> Iterator[Record]:
        """The next updates; nothing when all are written."""
        first, self._reached = self._reached, min(self._updates, self._reached + A_BATCH)
        for seq in range(first, self._reached):
            key = seq * 7_919 % self._keys
            self._seqs[key] = seq
            yield self._record(key)
            if seq >= self._ids_from:
                self._ids.add(self._ids.first(f"bench-{seq}", seq)[0], seq)
        for name, value in self._ids.changes():
            self._blocks.pop(name, None)
            if value is not None:
                self._blocks[name] = value
            yield name, value

    def end(self, policy: Policy, event: bytes, key: bytes) -> tuple[bytes, list[Record]]:
        """The last entry, and the records written with it."""
        fold = Fold(policy, self.partition, partitions=self._partitions)
        fold.writer.seq = self._updates
        entry = fold.events([Line(0, key, event)]).entries[0][1]
        changes = dict(fold.changes())
        head = msgspec.json.decode(changes.pop(HEAD_KEY) or b"", type=Head)
        own_block = next(name for name in changes if name.startswith(IDS_PREFIX))
        total = int(head.digest or "0", 16) + sum(share(*self._record(one)) for one in range(self._keys))
        total += sum(share(*one) for one in self._blocks.items() if one[0] != own_block)
        head = msgspec.structs.replace(head, digest=digest_text(total))
        return entry, [*changes.items(), (HEAD_KEY, msgspec.json.encode(head))]

    def _record(self, key: int) -> tuple[bytes, bytes]:
        return b"k:key-%07d.example" % key, self._models[key % MODELS] % self._seqs[key]


async def takeover(
    pack: str, keys: int, updates: int, partitions: int, told: Callable[[str], None], *, cleaned: bool
) -> dict[str, Any]:
    """Run the measurement and return its figures. `cleaned`: measure again after the cleaner had time."""
    policy = load_pack(pack)
    told("starting a broker")
    async with place(pack) as here:
        config = here.config(prefix="takeover.", partitions=str(partitions), shard_size=str(partitions))
        await ensure(config)
        told(f"writing {updates:,} updates of {keys:,} keys to {partitions} partitions")
        began = time.perf_counter()
        written = await _write(config, policy, keys, updates, told)
        wrote_s = time.perf_counter() - began
        told(f"written in {wrote_s:,.0f} s; {_on_disk(here, config) / 1e6:,.0f} MB stand on the disk")
        rows = [await _taken_over(here, config, "right behind the last update", told)]
        if cleaned:
            await _cleaned(here, config, told)
            rows.append(await _taken_over(here, config, "after the cleaner had time", told))
    return {
        "keys": keys,
        "updates": updates,
        "partitions": partitions,
        "bytes_written": written,
        "write_s": round(wrote_s, 1),
        "takeovers": rows,
        "pack": policy.ref,
        "machine": machine(),
    }


async def _write(config: Config, policy: Policy, keys: int, updates: int, told: Callable[[str], None]) -> int:
    models = _models(policy)
    count = config.partitions
    logs = [_Written(policy, one, count, keys // count, updates // count, models) for one in range(count)]
    producer = AIOKafkaProducer(
        **kafka_options(config), transactional_id="bench-takeover", max_batch_size=BATCH_BYTES, linger_ms=0
    )
    await producer.start()
    topics = {one: config.topic(one) for one in ("dry.state", "dry.decisions", "events")}
    size = done = 0
    told_at = time.perf_counter()
    try:
        layout = msgspec.json.encode(Layout(partitions=count, shard_size=config.shard_size))
        async with producer.transaction():
            for log in logs:
                size += await _send(producer, topics["dry.state"], log.partition, [(LAYOUT_KEY, layout)])
        while done < updates // count:
            async with producer.transaction():
                for log in logs:
                    size += await _send(producer, topics["dry.state"], log.partition, log.batch())
            done += A_BATCH
            if time.perf_counter() - told_at > 20:
                told_at = time.perf_counter()
                told(f"{min(done * count, updates):,} updates, {size / 1e6:,.0f} MB")
        event = next(numbered(policy, 1))
        key = msgspec.json.decode(event)[policy.event.role("key").name].encode()
        async with producer.transaction():
            for log in logs:
                entry, records = log.end(policy, event, key)
                await _send(producer, topics["events"], log.partition, [(key, event)])
                await _send(producer, topics["dry.decisions"], log.partition, [(key, entry)])
                size += await _send(producer, topics["dry.state"], log.partition, records)
    finally:
        await producer.stop()
    return size


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, records: Any) -> int:
    """Write the records in order, in batches as large as a lane's."""
    size, waiting = 0, []
    batch = producer.create_batch()
    for name, value in records:
        if batch.append(key=name, value=value, timestamp=None) is None:
            waiting.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=name, value=value, timestamp=None)
        size += len(name) + len(value or b"")
    if batch.record_count():
        waiting.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*waiting)
    return size


def _models(policy: Policy) -> list[bytes]:
    """Records of keys that real events were folded into, with a place for the seq."""
    name = policy.event.role("key").name
    fold = Fold(policy, 0, partitions=1, keyed=False)
    lines = [
        Line(at, None, msgspec.json.encode({**msgspec.json.decode(event), name: f"key-{at * 7_919 % MODELS}"}))
        for at, event in enumerate(numbered(policy, MODELS * EVENTS_EACH))
    ]
    fold.events(lines)
    values = [value for key, value in fold.changes() if key.startswith(b"k:") and value]
    return [re.sub(rb'^(\["[0-9a-f]+",)\d+', rb"\1%d", one.replace(b"%", b"%%"), count=1) for one in values]


async def _taken_over(here: Place, config: Config, when: str, told: Callable[[str], None]) -> dict[str, Any]:
    """A fresh worker's first takeover, as it says itself, and what it held then."""
    settings = {"prefix": "takeover.", "partitions": str(config.partitions), "shard_size": str(config.shard_size)}
    settings["takeover_timeout_s"] = f"{WITHIN_S:.0f}"
    name = f"worker-{time.monotonic_ns()}"
    size = _on_disk(here, config)
    with here.process(name, ["-m", "sidechain.agents", "worker", "dry"], **settings) as process:
        deadline = time.perf_counter() + WITHIN_S
        while True:
            said = process.said()
            if found := TAKEN_OVER.search(said):
                break
            process.check()
            if time.perf_counter() > deadline or "stands still" in said:
                raise EnvironmentProblem("the worker did not take the shard over: " + said[-800:])
            await asyncio.sleep(LOOK_S)
        memory = _memory(process.pid)
    counts = [(int(read), int(live)) for read, live in READ.findall(said)]
    row = {
        "when": when,
        "seconds": float(found[1]),
        "records_read": sum(read for read, _ in counts),
        "live_records": sum(live for _, live in counts),
        "bytes_on_disk": size,
        **memory,
    }
    told(f"{when}: {row['seconds']:.1f} s, {row['records_read']:,} records read, {size / 1e6:,.0f} MB on the disk")
    return row


async def _cleaned(here: Place, config: Config, told: Callable[[str], None]) -> None:
    """Until the cleaner has left the changelog alone for a while, or its time is up."""
    told("waiting for the cleaner")
    size, since, deadline = _on_disk(here, config), time.perf_counter(), time.perf_counter() + CLEANING_S
    while time.perf_counter() < deadline and time.perf_counter() - since < QUIET_S:
        await asyncio.sleep(1.0)
        if (now := _on_disk(here, config)) != size:
            size, since = now, time.perf_counter()


def _on_disk(here: Place, config: Config) -> int:
    """Bytes of the changelog that a reader from its start has to pass."""
    folders = (here.folder / "broker" / "data").glob(f"{config.topic('dry.state')}-*")
    return sum(_size(one) for folder in folders for one in folder.glob("*.log"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # the cleaner has just replaced it
        return 0


def _memory(pid: int) -> dict[str, int]:
    """What the process holds, and the most it held, KiB."""
    try:
        status = dict(one.split(":", 1) for one in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        raise EnvironmentProblem("what a process holds is read from /proc, which only Linux has") from None
    return {"rss_kib": int(status["VmRSS"].split()[0]), "rss_most_kib": int(status["VmHWM"].split()[0])}
