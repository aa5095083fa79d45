"""What went wrong at one door is known to another partition: sealed, replayed without it, and nobody waits for it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold, Line
from sidechain.models.pack_file import load_file
from tests.lanes import T0, Process, assert_balanced, config_of, entries, made, send, until, visible, wait_decided

DAY_MS = 86_400_000
PACK = """\
pack: doors
version: 1
event:
  max_step: 30d
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key, personal: true}
    at: {type: int, role: time}
    door: {type: string}
signals:
  door_risk: {of: event.door, max_age: 7d, learn: {share: bad, window: 28d}}
  badge_risk: {of: event.badge, max_age: 7d, learn: {share: bad, window: 28d}}
rules:
  - {id: bad_door, when: signals.door_risk >= 2000, then: review, points: 4000, reason: Much went wrong here.}
  - {id: quiet, when: signals.badge_risk >= 9999, then: note, reason: All went wrong.}
"""
DEAF = (
    PACK[: PACK.index("signals:")] + "rules:\n  - {id: east, when: event.door == 'east', then: note, reason: East.}\n"
)
HOMES = {"canary-17": 0, "canary-23": 1}  # badge -> its partition


def passed(number: int, badge: str, door: str, at_ms: int) -> tuple[int, bytes, bytes]:
    """One event, on the partition of its badge."""
    event = {"id": f"e-{number}", "badge": badge, "at": at_ms, "door": door}
    return HOMES[badge], badge.encode(), msgspec.json.encode(event)


def turned_out(number: int, badge: str, label: str, at_ms: int) -> tuple[int, bytes, bytes]:
    """What became known of one."""
    return HOMES[badge], badge.encode(), msgspec.json.encode({"id": f"e-{number}", "at": at_ms, "label": label})


def words(config: Config) -> dict[str, dict[str, Any]]:
    """The latest about each subject, by key."""
    found = visible(config, "wet.signals")[0]
    return {one.key.decode(): one.value and json.loads(one.value) for one in found}


class Crew:
    """The workers of one installation."""

    def __init__(self, config: Config, folder: Path) -> None:
        key = folder / "pseudonym.key"
        key.write_bytes(b"0123456789abcdef0123456789abcdef")
        self.config, self.folder, self._key = config, folder, key
        self._sent = 0

    def worker(self, role: str, log: str = "") -> Process:
        path = self.folder / f"{log or role}.log"
        return Process(self.config, path, role, pseudonym_key_file=self._key)

    def decide(self, dry: Process, *events: tuple[int, bytes, bytes]) -> list[dict[str, Any]]:
        """Send events and return their decisions, in the order of the ids."""
        send(self.config, events)
        self._sent += len(events)
        wait_decided(self.config, self._sent, [dry])
        ids = {json.loads(value)["id"] for _, _, value in events}
        chains = entries(self.config)
        return sorted(
            (one for chain in chains.values() for one in chain if one["id"] in ids), key=lambda one: one["id"]
        )


@pytest.fixture
def crew(broker: LocalKafka, prefix: str, tmp_path: Path) -> Callable[[str], Crew]:
    def installed(text: str) -> Crew:
        policy = tmp_path / "doors.yaml"
        policy.write_text(text, encoding="utf-8")
        return Crew(made(config_of(broker.bootstrap, prefix, policy=str(policy), partitions=2)), tmp_path)

    return installed


@pytest.mark.kafka
def test_what_went_wrong_at_a_door_is_known_to_who_comes_from_elsewhere(crew: Callable[[str], Crew]) -> None:
    """Learned across partitions, counted once through a kill, sealed with its value; the replay needs none of it."""
    one = crew(PACK)
    config, later = one.config, T0 + 7 * DAY_MS
    at_door = [passed(number, "canary-17", "east", T0 + number) for number in range(8)]
    with one.worker("dry") as dry, one.worker("tap"), one.worker("aggregator") as first:
        dry.wait_for("genesis")
        decided = one.decide(dry, *at_door, passed(8, "canary-17", "west", later))
        assert {json.dumps(each["signals"]["door_risk"]) for each in decided} == {
            '{"unknown": "absent", "of": "east"}',
            '{"unknown": "absent", "of": "west"}',
        }
        send(config, [turned_out(at, "canary-17", "bad" if at else "good", later) for at in range(4)], "outcomes")
        until(lambda: words(config).get("door_risk/east", {}).get("known") == 4, first.said)
        first.kill()
        send(config, [turned_out(at, "canary-17", "good", later) for at in range(4, 8)], "outcomes")
        send(config, [turned_out(0, "canary-17", "good", later)], "outcomes")  # settled already: it counts no more

        def asked(number: int) -> dict[str, Any]:
            [found] = one.decide(dry, passed(number, "canary-23", "east", later + number))
            return found["signals"]["door_risk"]

        numbers = iter(range(100, 200))
        until(lambda: "value" in (said := asked(next(numbers))) and said["value"] == 7_500, dry.said)
        with one.worker("aggregator", "second") as second:
            until(lambda: words(config)["door_risk/east"]["known"] == 8, second.said)
            word = words(config)["door_risk/east"]
            assert (word["value"], word["hits"], word["as_of"]) == (3_750, 3, later // DAY_MS * DAY_MS)
            until(lambda: asked(next(numbers)).get("value") == 3_750, dry.said)
        assert dry.stop() == 0
    assert_balanced(config)
    last = max((each for each in entries(config)[1] if each["kind"] == "decision"), key=lambda each: each["seq"])
    used = last["signals"]["door_risk"]
    assert (used["value"], used["model"], used["of"]) == (3_750, "bad-share-28d", "east")
    assert json.loads(visible(config, "wet.signals")[0][used["offset"]].value)["value"] == 3_750
    assert last["action"] == "review"
    assert [proof.fault for proof in asyncio.run(replayed(config))] == [None, None]
    told = [
        one
        for topic in ("wet.cases", "wet.signals", "wet.taps")
        for each in visible(config, topic).values()
        for one in each
    ]
    assert len(told) > 20
    assert not [one for one in told if b"canary" in (one.key or b"") + (one.value or b"")]


async def replayed(config: Config) -> list[Any]:
    async with Topics.of(config) as topics:
        return await topics.replay(load_file(config.policy))


@pytest.mark.kafka
def test_a_policy_without_the_signal_hears_no_aggregator(crew: Callable[[str], Crew]) -> None:
    """Lies, floods and what nobody can read: the entries are the bytes the kernel makes of the events alone."""
    one = crew(DEAF)
    config = one.config
    events = [passed(number, "canary-17", "east", T0 + number) for number in range(200)]
    word = {"signal": "door_risk", "of": "east", "value": 10_000, "model": "m", "as_of": T0, "known": 1, "hits": 1}
    lies = [(0, b"door_risk/east", msgspec.json.encode(word)), (0, b"?", b"?"), (0, b"door_risk/east", b"{")]
    with one.worker("dry") as dry:
        dry.wait_for("genesis")
        send(config, lies * 1_000, "wet.signals")
        one.decide(dry, *events)
        assert dry.stop() == 0
    fold = Fold(load_file(config.policy), 0)
    alone = [
        line for _, line in fold.events([Line(at, key, value) for at, (_, key, value) in enumerate(events)]).entries
    ]
    assert [record.value for record in visible(config, "dry.decisions")[0]] == alone
