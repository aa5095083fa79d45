"""Bad input end to end: an entry and a dead letter for each, the events around it decided, the worker alive."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.proof import Account, Topics
from sidechain.agents.settings import Config
from sidechain.models.dry.records import DEAD_LETTER_MAX_BYTES
from sidechain.models.pack_file import load_pack
from tests.lanes import T0, Process, assert_balanced, config_of, made, request, send, visible, wait_decided

HOST = "h1.example"
LARGE = "4194304"  # bytes the input topic of these tests takes
AT = b'"at":%d' % (T0 + 1_000 * 77)
GOOD = request(77, HOST)
YEAR_9999 = 253_370_764_800_000  # 1 January


class Bad(NamedTuple):
    """A record that cannot be decided, and what is said of it."""

    value: bytes | None
    reason: str
    field: str = ""
    key: bytes | None = HOST.encode()


BAD = {
    "not JSON": Bad(b"not json", "not-json"),
    "empty": Bad(b"", "not-json"),
    "truncated": Bad(GOOD[:-20], "not-json"),
    "no object": Bad(b"[" + GOOD + b"]", "not-an-object"),
    "wrong type": Bad(GOOD.replace(b'"status":200', b'"status":"200"'), "wrong-type", "status"),
    "a fraction": Bad(GOOD.replace(b'"status":200', b'"status":200.5'), "wrong-type", "status"),
    "null where a value must be": Bad(GOOD.replace(b'"path":"/"', b'"path":null'), "wrong-type", "path"),
    "missing field": Bad(GOOD.replace(b'"method":"GET",', b""), "missing-field", "method"),
    "NaN": Bad(GOOD.replace(b'"bytes":512', b'"bytes":NaN'), "not-finite", "bytes"),
    "Infinity": Bad(GOOD.replace(b'"bytes":512', b'"bytes":-Infinity'), "not-finite", "bytes"),
    "1e400": Bad(GOOD.replace(b'"bytes":512', b'"bytes":1e400'), "not-finite", "bytes"),
    "beyond 64 bits": Bad(GOOD.replace(b'"bytes":512', b'"bytes":9223372036854775808'), "out-of-bounds", "bytes"),
    "bad UTF-8": Bad(GOOD.replace(b'"path":"/"', b'"path":"/\xc3\x28"'), "bad-utf8"),
    "null value": Bad(None, "null-value"),
    "null key": Bad(GOOD, "null-key", key=None),
    "another key": Bad(GOOD, "key-mismatch", key=b"h2.example"),
    "2 MB": Bad(GOOD.replace(b'"path":"/"', b'"path":"/%b"' % (b"x" * 2_000_000)), "too-large"),
    "3 MB": Bad(GOOD.replace(b'"path":"/"', b'"path":"/%b"' % (b"x" * 3_000_000)), "too-large"),
    "1,000 deep": Bad(b'{"id":' + b"[" * 1_000 + b"]" * 1_000 + b"}", "too-deep"),
    "duplicate keys": Bad(GOOD.replace(b'"status":200', b'"status":200,"status":500'), "duplicate-field", "status"),
    "unknown field": Bad(GOOD.replace(b'"status":200', b'"status":200,"stauts":1'), "unknown-field", "stauts"),
    "time in 1970": Bad(GOOD.replace(AT, b'"at":0'), "time-out-of-bounds", "at"),
    "time in 9999": Bad(GOOD.replace(AT, b'"at":%d' % YEAR_9999), "time-out-of-bounds", "at"),
    "time before 1970": Bad(GOOD.replace(AT, b'"at":-1'), "time-out-of-bounds", "at"),
}


def installation(broker: LocalKafka, prefix: str, text: str, folder: Path) -> Config:
    """Topics of their own; the input topic takes events larger than any output topic does."""
    policy = folder / "web.yaml"
    policy.write_text(text, encoding="utf-8")
    config = config_of(broker.bootstrap, prefix, policy=policy, partitions=1, topics={"events": f"{prefix}large"})

    async def create() -> None:
        client = AIOKafkaAdminClient(**kafka_options(config))
        await client.start()
        settings = {"max.message.bytes": LARGE}
        await client.create_topics([NewTopic(config.topic("events"), 1, 1, topic_configs=settings)])
        await client.close()

    asyncio.run(create())
    return made(config)


def worker_of(config: Config, folder: Path) -> Process:
    return Process(config, folder / "worker.log", topic_events=config.topic("events"))


def accounts(config: Config) -> list[Account]:
    async def read() -> list[Account]:
        async with Topics.of(config) as topics:
            return await topics.account()

    return asyncio.run(read())


def run(config: Config, folder: Path, records: list[tuple[int, bytes | None, bytes | None]]) -> list[dict[str, Any]]:
    """The chain of partition 0 over these records, and one more event that shows the worker alive behind them."""
    with worker_of(config, folder) as worker:
        send(config, records)
        wait_decided(config, len(records), [worker])
        send(config, [(0, HOST.encode(), request(9_999, HOST))])
        wait_decided(config, len(records) + 1, [worker])
        assert worker.stop() == 0, worker.said()
    chain = assert_balanced(config)[0]
    assert chain[-1]["kind"] == "decision"
    assert [one.balanced for one in accounts(config)] == [True]
    return chain


def test_every_bad_record_has_its_entry_and_its_dead_letter(broker, prefix, tmp_path) -> None:
    """Each stands between two good events of its own key, which are decided as if it were not there."""
    config = installation(broker, prefix, load_pack("web").text, tmp_path)
    good = [(0, HOST.encode(), request(number, HOST)) for number in range(len(BAD) + 1)]
    records = [good[0]]
    for one, after in zip(BAD.values(), good[1:], strict=True):
        records += [(0, one.key, one.value), after]
    chain = run(config, tmp_path, records)
    assert [entry["kind"] for entry in chain[: len(records)]] == ["decision", "rejected"] * len(BAD) + ["decision"]
    seen = [entry["features"]["requests_1m"] for entry in chain[: len(records)] if entry["kind"] == "decision"]
    assert seen == list(range(1, len(good) + 1))
    letters = visible(config, "dry.deadletters")[0]
    offsets = [record.offset for record in visible(config, "events")[0]]
    for at, ((name, one), letter) in enumerate(zip(BAD.items(), letters, strict=True)):
        entry, offset = chain[2 * at + 1], offsets[2 * at + 1]
        length, digest = len(one.value or b""), sha256(one.value or b"").hexdigest()
        assert (entry["reason"], entry["field"] or "", entry["length"]) == (one.reason, one.field, length), name
        assert entry["source"] == ["events", 0, offset]
        assert entry["digest"] == (None if one.value is None else digest)
        assert (letter.key, letter.value) == (one.key, one.value and one.value[:DEAD_LETTER_MAX_BYTES]), name
        assert {key: value.decode() for key, value in letter.headers} == {
            "dlq.reason": one.reason,
            "dlq.field": one.field,
            "dlq.topic": "events",
            "dlq.partition": "0",
            "dlq.offset": str(offset),
            "dlq.digest": "" if one.value is None else digest,
            "dlq.length": str(length),
            "dlq.truncated": "true" if length > DEAD_LETTER_MAX_BYTES else "false",
        }


def test_what_a_pack_allows_is_decided_and_evicts_nobody(broker, prefix, tmp_path) -> None:
    """Unknown fields ignored, the year 9999 inside the bounds: decided, flagged, and no window lost an event."""
    text = load_pack("web").text.replace("unknown_fields: refuse", "unknown_fields: ignore")
    text = text.replace("latest: 2100-01-01T00:00:00Z", "latest: 9999-12-31T23:59:59Z")
    config = installation(broker, prefix, text, tmp_path)
    far = request(500, "far.example", at=YEAR_9999)
    records = [
        (0, HOST.encode(), request(0, HOST)),
        (0, HOST.encode(), request(1, HOST, stauts=1)),
        (0, b"far.example", far),
        (0, HOST.encode(), request(2, HOST)),
        (0, HOST.encode(), request(1, HOST, status=500)),  # the id again, whatever else it says
        (0, HOST.encode(), request(3, HOST)),
    ]
    chain = run(config, tmp_path, records)
    kinds = [entry["kind"] for entry in chain[: len(records)]]
    assert kinds == ["decision", "decision", "decision", "decision", "duplicate", "decision"]
    assert (chain[2]["at"], chain[2]["flags"]) == (YEAR_9999, ["ahead"])
    assert chain[4]["first"] == 1
    own = [entry for entry in chain[: len(records)] if entry["kind"] == "decision" and entry["key"] == HOST]
    assert [entry["features"]["requests_1m"] for entry in own] == [1, 2, 3, 4]
    # The partition's time has gone ahead by max_step, and theirs is behind it: a flag, which no window minds.
    assert [entry["flags"] for entry in own] == [[], [], ["late"], ["late"]]


@pytest.mark.parametrize("name", BAD)
def test_the_good_event_becomes_bad_by_one_thing_only(name: str) -> None:
    """A case that is the good event itself, under its own key, would show nothing."""
    assert (BAD[name].value, BAD[name].key) != (GOOD, HOST.encode())
