"""The loop of a champion on a real broker: outcomes, a trial, a proposal, a promotion, and a slot that follows it."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.agents.config import load as settings
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import TrainerMetrics, registry
from sidechain.agents.model_files import ModelFiles
from sidechain.agents.promoted import promote, promoted, promotion
from sidechain.agents.proposals import find
from sidechain.agents.wet.promotions import Promotions
from sidechain.agents.wet.trainer import COMMAND, TrainerWorker, now_ms
from sidechain.models.pack_file import load
from sidechain.models.wet.experts.champion import ChampionSlot
from sidechain.models.wet.inputs import columns
from sidechain.models.wet.training import Training
from sidechain.models.wet.trial import Thresholds
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Tap
from tests.bus import PARTITIONS, Bus

PACK = """\
pack: doors
version: 1
event:
  max_step: 1d
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key}
    at: {type: int, role: time}
features:
  - {name: seen_1h, aggregate: count, window: 1h}
  - {name: gap, aggregate: gap}
rules:
  - {id: often, when: features.seen_1h >= 100, then: review, reason: Very often.}
wet: {vector: [seen_1h, gap], groups: [seen_1h]}
"""
POLICY = load(PACK.encode(), name="doors.yaml")
AT, HOUR_MS = 807_256_800_000, 3_600_000
WAIT_S = 60.0


class Stream:
    """Decisions an hour apart, a fifth of them bad, whose outcome is known at once."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.random = np.random.default_rng(1)
        self.count = 0

    async def write(self, count: int) -> None:
        for partition in range(PARTITIONS):
            taps, cases = [], []
            for number in range(self.count, self.count + count):
                is_bad = bool(self.random.random() < 0.2)
                seen = int(self.random.poisson(20 if is_bad else 3))
                at = AT + number * HOUR_MS
                fields = {"id": f"d-{number}", "key": "b", "at": at, "partition": partition, "seq": number}
                fields |= {"action": "allow", "tier": "pass", "trust_bp": 9_000, "policy": POLICY.ref}
                taps.append((b"b", encode(Tap(**fields, score_bp=0, features={"seen_1h": seen, "gap": None}))))
                label = "bad" if is_bad else "good"
                case = Case(partition=partition, offset=2 * number, seq=number, at=at, label=label)
                cases.append((b"c", encode(case)))
            await self.bus.write("wet.taps", partition, [*taps, (b"b", b"no tap")])
            await self.bus.write("wet.cases", partition, [*cases, *cases[-3:]])  # at least once
        self.count += count


async def until(reached, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not reached():
        assert asyncio.get_running_loop().time() < deadline, f"{what} not within {WAIT_S:.0f} s"
        await asyncio.sleep(0.05)


def said(*words: str) -> str:
    """What `sidechain models` prints, on either stream."""
    done = CliRunner().invoke(build(["models", words[0]]), ["models", *words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.kafka
def test_what_outcomes_taught_is_tried_proposed_promoted_and_followed(
    broker: LocalKafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it happens by itself: until somebody promotes, the slot is empty."""
    bus = Bus(broker.bootstrap, prefix)
    environ = {"SIDECHAIN_PACK": "web", "SIDECHAIN_BOOTSTRAP": broker.bootstrap, "SIDECHAIN_PREFIX": prefix}
    config = settings(environ=environ | {"SIDECHAIN_MODELS": str(tmp_path), "HOME": str(tmp_path)}).config
    files, metrics, slot = ModelFiles(config.models_folder), TrainerMetrics(registry()), ChampionSlot()
    names = columns(POLICY)
    limits = Thresholds(labels=300, bad=20)

    def worker() -> TrainerWorker:
        training = Training(
            names, max_step_ms=POLICY.event.max_step_ms, groups=POLICY.wet.groups, thresholds=limits, first_fit=400
        )
        more = {"training": training, "command": (*COMMAND, "10")}
        return TrainerWorker(POLICY, files, bus.options, bus.name, prefix, metrics, **more)

    async def story() -> None:
        await bus.create()
        admin = AIOKafkaAdminClient(**bus.options)
        await admin.start()
        await admin.create_topics([NewTopic(bus.name("control"), 1, 1)])
        await admin.close()
        stream, stop = Stream(bus), asyncio.Event()
        follower = Promotions(
            lambda champion, _: slot.take(champion), files, bus.options, bus.name("wet.models"), names
        )
        await follower.open()
        trainer = worker()
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.run(stop))
            running = group.create_task(trainer.run(stop))
            await stream.write(300)
            await until(lambda: trainer.training.trial is not None or running.done(), "a trial")
            await stream.write(200)
            await until(lambda: trainer.proposed or running.done(), "a proposal")
            assert slot.champion is trainer.training.champion is None, "nothing changes by itself"
            found = await find(config, trainer.proposed[0][:12])
            change = found.proposal.change
            card = files.card(change.version, change.digest, change.card)
            assert card.trial.verdict == "PROMOTE"
            assert card.data.topics[bus.name("wet.taps")]["0"][0] == 0
            assert {one.group for one in card.segments} == {"seen_1h"}
            await promote(config, promotion(found, "bob", now_ms()))
            await until(lambda: slot.champion is not None and trainer.training.champion is not None, "a champion")
            assert slot.model_name == trainer.training.champion.name == change.model
            stop.set()
        assert (await promoted(config)).by == "bob"
        assert metrics.unreadable._value.get() == 2 * PARTITIONS
        again = worker()
        again._restore()
        assert again.training.examples.known == trainer.training.examples.known == PARTITIONS * stream.count
        assert again._next == trainer._next

    asyncio.run(story())
    for name, value in (environ | {"SIDECHAIN_MODELS": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    [model] = json.loads(said("list", "--json"))["models"]
    assert (model["champion"], model["verdict"]) == (True, "PROMOTE")
    named = model["proposal"][:12]
    assert f"SHA-256 `{model['digest']}`" in said("show", named)
    assert "is champion already, by bob" in said("promote", "--proposal", named, "--by", "eve")
    assert "nobody is champion" in said("retire", "--by", "eve")
    [file] = tmp_path.glob(f"*{model['digest'][:8]}.onnx")  # as `sidechain train` writes one, with its card
    (tmp_path / "doors.yaml").write_text(POLICY.text)
    monkeypatch.delenv("SIDECHAIN_PACK")
    monkeypatch.setenv("SIDECHAIN_POLICY", str(tmp_path / "doors.yaml"))
    asked = said("propose", str(file), "--by", "anna")
    assert f"{model['model']} is proposed as " in asked
    assert f"{model['model']} is champion" in said("promote", "--proposal", asked.split()[-1], "--by", "bob")
