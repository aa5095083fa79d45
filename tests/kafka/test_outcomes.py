"""Outcomes on a real broker: each has one entry, whoever wrote it and wherever, and everything can be proved again."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.local_kafka import LocalKafka
from tests.answered import answered
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    made,
    ordinary,
    pinned,
    send,
    until,
    visible,
    wait_decided,
)
from tests.ruins import delete_records

WEEK_MS = 7 * 86_400_000
EVENTS = 200


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


@pytest.fixture
def options(config) -> list[str]:
    return ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]


def outcome(number: int, **more) -> bytes:
    return msgspec.json.encode({"id": f"req-{number:06d}", "at": 1_700_000_000_000 + WEEK_MS, **more})


def of_event(number: int) -> int:
    """The partition `ordinary` puts an event on."""
    return ordinary(1, number)[0][0]


def wait_settled(config, outcomes: int, workers) -> None:
    """Until so many outcomes have an entry."""

    def count() -> int:
        records = [one for found in visible(config, "dry.decisions").values() for one in found]
        return sum(b'"source":["outcomes",' in one.value for one in records)

    until(lambda: count() >= outcomes, lambda: "\n".join(one.said() for one in workers))


def test_every_outcome_has_one_entry_across_a_crash_and_wherever_it_was_written(
    config, options, tmp_path: Path
) -> None:
    """On the right partition and astray, twice, unreadable, about nothing, in the batch of a worker that is killed."""
    right = [(of_event(n), b"k", outcome(n, label="bad" if n % 3 else "good")) for n in range(100)]
    astray = [((of_event(n) + 1) % 4, None, outcome(n, cost_minor=n, partition=of_event(n))) for n in range(20)]
    twice = right[:5] + astray[:5]
    odd = [
        (0, b"k", b"not json"),
        (1, b"k", None),
        (2, b"k", outcome(7, cost_minor=12.5)),
        (2, b"k", outcome(7, label="good", partition=99)),  # there is none: its entry is all that becomes of it
        (3, b"k", outcome(999_999, label="good")),
        (of_event(150), b"k", outcome(150, label="bad", seq=10**9)),
    ]
    first = Process(config, tmp_path / "first.log")
    with first:
        send(config, ordinary(EVENTS))
        send(config, right[:50], "outcomes")  # at once behind their events: none of them is unknown
        wait_decided(config, EVENTS, [first])
        wait_settled(config, 50, [first])
        send(config, right[50:] + astray, "outcomes")
        first.kill()
    second = Process(config, tmp_path / "second.log")
    with second:
        send(config, twice + odd, "outcomes")
        # Those astray, and the five of them that came twice, stand on the topic once more.
        total = 100 + 20 + 20 + 10 + 5 + 6
        wait_settled(config, total, [second])
        assert second.stop() == 0, second.said()

    chains = assert_balanced(config)
    topic = visible(config, "outcomes")
    for partition, chain in chains.items():
        sources = [one["source"][2] for one in chain if one["source"][0] == "outcomes"]
        assert sources == [record.offset for record in topic[partition]], f"partition {partition}"
    found = [one for chain in chains.values() for one in chain]
    reasons = Counter(one["reason"] for one in found if one["kind"] == "refused-outcome")
    assert reasons == {
        "wrong-partition": 20 + 5 + 1,
        "already-settled": 5 + 5,
        "not-json": 1,
        "null-value": 1,
        "wrong-type": 1,
        "unknown-decision": 1,
        "other-decision": 1,
    }
    decided = {(part, one["seq"]): one["id"] for part, chain in chains.items() for one in chain if "action" in one}
    settled = [(part, one) for part, chain in chains.items() for one in chain if one["kind"] == "settlement"]
    assert [decided[part, one["settles"]] for part, one in settled] == [one["id"] for _, one in settled]
    assert Counter(one["label"] for _, one in settled) == {"good": 34, "bad": 66, None: 20}
    assert sorted(one["cost_minor"] for _, one in settled if one["cost_minor"] is not None) == list(range(20))
    forwarded = [one.headers for records in topic.values() for one in records if one.headers]
    assert len({headers[0] for headers in forwarded}) == 25

    checked = answered("verify", "--against-events", *options)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("each has exactly one entry") == 8
    replayed = answered("replay", *options, "--json")
    assert replayed.returncode == 0, replayed.stdout
    balanced = answered("account", *options, "--json")
    assert balanced.returncode == 0, balanced.stdout
    assert sum(one["outcomes"]["events"] for one in json.loads(balanced.stdout)) == total
    assert sum(one["dead_letters"] for one in json.loads(balanced.stdout)) == 3

    audit, shot = tmp_path / "audit", tmp_path / "shot"
    assert answered("snapshot", str(shot), *options).returncode == 0
    exported = answered("export", str(audit), "--with-events", *options)
    assert exported.returncode == 0, exported.stderr
    again = answered("replay", "--export", str(audit), "--json")
    assert json.loads(again.stdout) == json.loads(replayed.stdout)
    assert answered("verify", "--export", str(audit), "--against-events").returncode == 0
    said = answered("explain", "req-000007", *options).stdout
    assert "is settled: it was bad." in said
    assert "it cost 7 minor units" in said


def test_the_command_sends_each_outcome_to_its_decision(config, options, tmp_path: Path) -> None:
    """Looked up in the chain where a line does not say; what nobody decided is sent too, and said."""
    file = tmp_path / "outcomes.ndjson"
    lines = [outcome(n, label="good") for n in range(20)]
    lines += [outcome(20, label="bad", partition=of_event(20)), outcome(999_999, label="bad")]
    file.write_bytes(b"".join(one + b"\n" for one in lines))
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, ordinary(30))
        wait_decided(config, 30, [worker])
        done = answered("outcomes", str(file), *options, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"topic": config.topic("outcomes"), "sent": 22, "unplaced": 1}
        wait_settled(config, 22, [worker])
    kinds = Counter(one["kind"] for chain in assert_balanced(config).values() for one in chain)
    assert kinds == {"decision": 30, "settlement": 21, "refused-outcome": 1}


def test_outcomes_that_are_gone_stop_the_shard_until_a_person_passes_over_them(config, options, tmp_path: Path) -> None:
    """As events do: nothing of an input is passed over in silence."""
    with Process(config, tmp_path / "first.log") as worker:
        send(config, ordinary(8))
        send(config, [(0, b"k", outcome(0, label="good"))], "outcomes")
        wait_decided(config, 8, [worker])
        wait_settled(config, 1, [worker])
        assert worker.stop() == 0
    send(config, [(0, b"k", outcome(4, label="bad"))] * 2, "outcomes")
    asyncio.run(delete_records(config, [("outcomes", 0)]))
    with Process(config, tmp_path / "second.log") as worker:
        worker.wait_for(r"outcomes/0: outcomes 1 to 2 were deleted before they were decided")
        assert worker.stop() == 0
    words = ("repair", "--partition", "0", *options)
    mended = answered(*words, "--gap", "--by", "anna", "--why", "they expired", "--yes", "--json")
    assert mended.returncode == 0, mended.stderr
    written = json.loads(mended.stdout)["entry"]
    assert (written["topic"], written["from"], written["to"]) == ("outcomes", 1, 3)
    with Process(config, tmp_path / "third.log") as worker:
        send(config, [(0, b"k", outcome(4, label="good"))], "outcomes")
        wait_settled(config, 2, [worker])
        assert worker.stop() == 0
    assert answered("verify", "--against-events", *options).returncode == 0
