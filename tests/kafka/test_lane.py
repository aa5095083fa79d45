"""One worker on a real broker: every visible event exactly one entry, whatever the input log looks like."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from sidechain.agents.activate import activate
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.proof import Topics
from sidechain.agents.pseudonym import pseudonym
from sidechain.models.pack_file import load_file
from tests.lanes import (
    T0,
    Process,
    assert_balanced,
    config_of,
    entries,
    made,
    open_transactions,
    ordinary,
    pinned,
    request,
    second_version,
    send,
    until,
    visible,
    wait_decided,
)

WRITTEN = ("dry.decisions", "dry.state", "dry.deadletters")


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


@pytest.fixture
def worker(config, tmp_path: Path):
    process = Process(config, tmp_path / "worker.log")
    with process:
        yield process


def test_each_kind_of_input_has_its_entry(config, worker) -> None:
    """Good, repeated, malformed, keyless and empty events: one entry each, a dead letter for each that is rejected."""
    good = ordinary(400)
    odd = [
        (0, b"h0.example", request(0, "h0.example")),  # decided before
        (1, b"h1.example", b"not json"),
        (1, b"wrong.example", request(900, "h1.example")),  # key and field disagree
        (2, None, request(901, "h2.example")),
        (3, b"h3.example", None),
        (3, b"\xff\xfe", b"\xff\xfe"),
    ]
    send(config, good + odd)
    wait_decided(config, 406, [worker])
    chains = assert_balanced(config)
    kinds = [one["kind"] for chain in chains.values() for one in chain]
    assert (kinds.count("decision"), kinds.count("duplicate"), kinds.count("rejected")) == (400, 1, 5)
    letters = [record for records in visible(config, "dry.deadletters").values() for record in records]
    assert len(letters) == 5
    assert {record.value for record in letters} >= {b"not json", b"\xff\xfe"}


def test_replay_from_the_log_is_byte_identical(config, worker) -> None:
    """What the live worker sealed, the kernel seals again from the same inputs."""
    send(config, ordinary(300))
    wait_decided(config, 300, [worker])

    async def replayed() -> list[object]:
        async with Topics(kafka_options(config), config.topic) as topics:
            return [proof.fault for proof in await topics.replay(load_file(config.policy))]

    assert asyncio.run(replayed()) == [None, None, None, None]


def test_holes_in_the_input_are_no_losses(config, worker) -> None:
    """Transaction markers and aborted events leave offsets without a record; they have no entry and stop nothing."""

    async def write() -> None:
        producer = AIOKafkaProducer(**kafka_options(config), transactional_id=f"{config.prefix}user")
        await producer.start()
        try:
            for round_ in range(12):
                await producer.begin_transaction()
                for partition, key, value in ordinary(10, 10 * round_):
                    await producer.send(config.topic("events"), value, key=key, partition=partition)
                await (producer.commit_transaction() if round_ % 3 else producer.abort_transaction())
        finally:
            await producer.stop()

    asyncio.run(write())
    wait_decided(config, 80, [worker])
    chains = assert_balanced(config)
    offsets = [one["source"][2] for one in chains[0]]
    assert offsets != list(range(len(offsets))), "the log had no holes: the test shows nothing"


def test_a_clean_stop_leaves_nothing_open(config, worker) -> None:
    """SIGTERM under load: what is under way is committed, no transaction stays open, and the exit code is 0."""
    worker.wait_for("genesis")
    send(config, ordinary(4_000))
    until(lambda: sum(map(len, visible(config, "dry.decisions").values())) > 0, worker.said)
    assert worker.stop() == 0, worker.said()
    assert open_transactions(config, WRITTEN) == {}
    before = sum(len(chain) for chain in entries(config).values())
    worker.start()
    wait_decided(config, 4_000, [worker])
    assert_balanced(config)
    assert before > 0


def test_a_transaction_left_open_by_a_predecessor_is_fenced(config, tmp_path: Path) -> None:
    """Also under an id that this version does not use for writing: nothing of it is ever seen."""

    async def scenario() -> None:
        predecessor = AIOKafkaProducer(**kafka_options(config), transactional_id=f"{config.prefix}dry-0-6")
        await predecessor.start()
        try:
            await predecessor.begin_transaction()
            await predecessor.send_and_wait(config.topic("dry.decisions"), b"never", key=b"x", partition=1)
            worker = Process(config, tmp_path / "worker.log")
            with worker:
                await asyncio.to_thread(worker.wait_for, "genesis")
                await asyncio.to_thread(send, config, ordinary(40))
                await asyncio.to_thread(wait_decided, config, 40, [worker])
                with pytest.raises(ProducerFenced):
                    await predecessor.commit_transaction()
                assert await asyncio.to_thread(worker.stop) == 0
        finally:
            await predecessor.stop()

    asyncio.run(scenario())
    assert_balanced(config)


def test_a_policy_takes_effect_on_every_partition(config, worker) -> None:
    """Each chain seals a policy entry, decides under it from then on, and a restart with the old file keeps it."""
    send(config, ordinary(60))
    wait_decided(config, 60, [worker])
    first, second = load_file(config.policy), second_version(config)
    asyncio.run(activate(config, second, "anna"))
    until(lambda: _policies(config) == [1, 1, 1, 1], worker.said)
    send(config, ordinary(60, 60))
    wait_decided(config, 120, [worker])
    assert worker.stop() == 0
    worker.start()
    send(config, ordinary(60, 120))
    wait_decided(config, 180, [worker])
    for chain in assert_balanced(config).values():
        at = next(index for index, one in enumerate(chain) if one["kind"] == "policy")
        assert {one["policy"] for one in chain[:at]} == {first.ref}
        assert {one["policy"] for one in chain[at:]} == {second.ref}
        assert chain[at]["by"] == "anna"
    assert _policies(config) == [1, 1, 1, 1]


def test_a_policy_active_before_the_first_event_decides_it(config, tmp_path: Path) -> None:
    """Control is read to its end before any event: chance does not decide which policy the first events meet."""
    second = second_version(config)
    send(config, ordinary(80))
    asyncio.run(activate(config, second, "anna"))
    with Process(config, tmp_path / "worker.log") as worker:
        wait_decided(config, 80, [worker])
    for chain in entries(config).values():
        assert chain[0]["kind"] == "policy"


def test_an_event_larger_than_any_output_goes_on(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """A 3 MB event: digest and length in the chain, a prefix in the dead letters, and the next event is decided."""
    topics = {"events": f"{prefix}large"}
    config = config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), topics=topics)
    asyncio.run(_create_large(config))
    made(config)
    large = request(1, "h1.example", path="/" + "x" * 3_000_000)
    send(config, [(1, b"h1.example", large), (1, b"h1.example", request(2, "h1.example"))])
    with Process(config, tmp_path / "worker.log", topic_events=topics["events"]) as worker:
        wait_decided(config, 2, [worker])
    rejected, decision = assert_balanced(config)[1]
    assert (rejected["kind"], rejected["length"], decision["kind"]) == ("rejected", len(large), "decision")
    [letter] = visible(config, "dry.deadletters")[1]
    assert large.startswith(letter.value)
    assert dict(letter.headers)["dlq.truncated"] == b"true"


async def _create_large(config) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    client = AIOKafkaAdminClient(**kafka_options(config))
    await client.start()
    settings = {"max.message.bytes": "4194304"}
    await client.create_topics([NewTopic(config.topic("events"), config.partitions, 1, topic_configs=settings)])
    await client.close()


def _policies(config) -> list[int]:
    return [sum(one["kind"] == "policy" for one in chain) for chain in entries(config).values()]


def test_what_the_wet_side_said_is_sealed_with_its_offset(config, tmp_path: Path) -> None:
    """Found under the pseudonym, read at the start and while deciding; lies and floods in between change nothing."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef0123456789abcdef")
    name = pseudonym(secret.read_bytes(), "host", "h1.example").encode()

    def metadata(risk_bp: int) -> bytes:
        return b'{"key":"%b","risk_bp":%d,"model":"forest-1:ab12cd34","as_of":%d}' % (name, risk_bp, T0)

    send(config, [(1, name, metadata(4_200))], topic="wet.metadata")
    with Process(config, tmp_path / "worker.log", pseudonym_key_file=secret) as worker:
        send(config, [(1, b"h1.example", request(1, "h1.example"))])
        wait_decided(config, 1, [worker])
        lies = [(1, name, b'{"risk_bp":"high"}'), (1, b"", b""), *[(1, b"p:other", metadata(1))] * 3_000]
        send(config, [*lies, (1, name, metadata(9_900))], topic="wet.metadata")
        until(lambda: _risk_of_another(config, worker) == 9_900, worker.said)
    first = entries(config)[1][0]
    assert first["signals"]["risk"] == {"value": 4_200, "model": "forest-1:ab12cd34", "as_of": T0, "offset": 0}
    assert_balanced(config)


def _risk_of_another(config, worker: Process) -> int | None:
    """Decide one more event and say what the wet side was heard to say about it."""
    count = len(entries(config)[1])
    send(config, [(1, b"h1.example", request(1 + count, "h1.example"))])
    wait_decided(config, count + 1, [worker])
    return entries(config)[1][-1]["signals"]["risk"].get("value")
