"""The catalogue on a real cluster: created once, set right, never re-partitioned; what is not ours is left alone."""

import asyncio
import json
import shlex

import pytest

from sidechain.agents.admin import administrator, ensure, existing
from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import AnswerIsNo
from sidechain.agents.settings import Config
from sidechain.topics.catalog import catalog
from tests.answered import answered
from tests.lanes import until


@pytest.fixture
def settings(broker, prefix):
    """Settings for the shared broker, under this test's prefix."""

    def of(**more) -> Config:
        return load({"bootstrap": broker.bootstrap, "prefix": prefix, "pack": "web", **more}, environ={}).config

    return of


@pytest.fixture
def command(broker, prefix):
    """The command line on the shared broker, under this test's prefix."""

    def run(*words):
        return answered(*words, "--bootstrap", broker.bootstrap, "--prefix", prefix)

    return run


def have(config: Config) -> dict:
    return asyncio.run(existing(kafka_options(config), {config.topic(one) for one in catalog()}))


def made(config: Config, name: str, partitions: int, **settings: str) -> None:
    """A topic somebody else made."""
    from aiokafka.admin import NewTopic

    async def create() -> None:
        async with administrator(kafka_options(config)) as client:
            await client.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])

    asyncio.run(create())
    until(lambda: name in asyncio.run(existing(kafka_options(config), {name})), lambda: f"{name} is not to be seen")


def test_apply_makes_every_topic_as_the_catalogue_says(settings, command):
    config = settings()
    missing = command("topics", "show", "--json")
    assert missing.returncode == 1
    assert {step["action"] for step in json.loads(missing.stdout)} == {"create"}

    done = command("topics", "apply", "--partitions", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(catalog())} created"
    found = have(config)
    for logical, topic in catalog().items():
        one = found[config.topic(logical)]
        assert one.partitions == topic.count(3)
        assert one.settings.items() >= topic.config().items()

    again = command("topics", "apply", "--partitions", "3")
    assert again.stdout.splitlines()[-1] == f"{len(catalog())} unchanged"
    assert command("topics", "show", "--partitions", "3").returncode == 0


def test_another_partition_count_is_refused_and_nothing_is_done(settings, command):
    """Also not the topics that could have been created."""
    config = settings(partitions=2)
    asyncio.run(ensure(config, {"events", "dry.decisions"}))
    refused = command("topics", "apply", "--partitions", "4")
    assert refused.returncode == 1
    assert "dry.decisions has 2 partitions, not 4" in refused.stderr
    assert "every partition has its own chain" in refused.stderr
    assert "Set `partitions` to what the topics have" in refused.stderr
    assert set(have(config)) == {config.topic("events"), config.topic("dry.decisions")}


def test_a_single_topic_with_partitions_is_refused_with_its_own_advice(settings):
    config = settings()
    made(config, config.topic("control"), 2)
    with pytest.raises(AnswerIsNo, match=r"control has 2 partitions, not 1: its records have one order"):
        asyncio.run(ensure(config, {"control"}))


def test_a_setting_that_differs_is_set_right_and_the_others_stay(settings, command):
    config = settings()
    made(config, config.topic("dry.state"), 4, **{"cleanup.policy": "delete", "compression.type": "zstd"})
    dry = command("topics", "apply", "--dry-run", "--json")
    step = next(one for one in json.loads(dry.stdout)["steps"] if one["logical"] == "dry.state")
    assert (step["action"], step["settings"]["cleanup.policy"]) == ("change", "compact")
    assert "cleanup.policy is delete and should be compact" in step["why"]

    asyncio.run(ensure(config, {"dry.state"}))
    one = have(config)[config.topic("dry.state")]
    assert one.settings.items() >= catalog()["dry.state"].config().items()
    assert one.own["compression.type"] == "zstd"


def test_a_topic_the_configuration_names_is_checked_and_left_as_it_is(settings, prefix):
    name = f"{prefix}somebody.elses"
    config = settings(topics={"events": name})
    made(config, name, 4, **{"retention.ms": "1000"})
    plan = asyncio.run(ensure(config, {"events"}))
    assert [(step.name, step.action) for step in plan] == [(name, "none")]
    assert "left as it is" in plan[0].why
    assert have(config)[name].own == {"retention.ms": "1000"}


def test_dry_run_prints_the_commands_and_does_nothing(settings, command):
    config = settings()
    done = command("topics", "apply", "--dry-run")
    assert done.returncode == 0
    assert have(config) == {}
    lines = done.stdout.splitlines()
    assert len(lines) == len(catalog())
    words = shlex.split(lines[0])
    assert words[:4] == ["kafka-topics.sh", "--bootstrap-server", config.bootstrap, "--create"]
    pairs = {word for at, word in enumerate(words) if words[at - 1] == "--config"}
    assert pairs == {f"{name}={value}" for name, value in catalog()["events"].config().items()}


def test_dry_run_works_where_no_cluster_can_be_asked(sidechain, prefix):
    done = sidechain("topics", "apply", "--dry-run", "--bootstrap", "127.0.0.1:1", "--prefix", prefix)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(catalog())
    assert "commands for an empty cluster" in done.stderr


def test_production_topics_wait_for_two_replicas(settings):
    from sidechain.agents.admin import planned

    config = settings(replication=3)
    step = next(one for one in planned(config, {}) if one.logical == "dry.decisions")
    assert (step.replication, step.settings["min.insync.replicas"]) == (3, "2")
    assert "min.insync.replicas" not in planned(settings(), {})[0].settings


def doctor(command, *words) -> dict[str, dict]:
    done = command("doctor", "--pack", "network", "--json", *words)
    findings = json.loads(done.stdout)
    assert (done.returncode == 3) is any(one["state"] == "fail" for one in findings)
    assert all(one["do"] for one in findings if one["state"] != "ok")
    return {one["check"]: one for one in findings}


def test_the_doctor_says_what_is_missing_and_then_that_all_is_well(settings, command):
    before = doctor(command)
    assert before["cluster"]["state"] == before["transactions"]["state"] == "ok"
    assert before["topics"]["state"] == "fail"
    asyncio.run(ensure(settings()))
    assert {one["state"] for one in doctor(command).values()} == {"ok"}


def test_the_doctor_sees_outputs_too_small_for_their_input(settings, command):
    config = settings()
    asyncio.run(ensure(config, set(catalog()) - {"dry.deadletters"}))
    made(config, config.topic("dry.deadletters"), 4, **{"max.message.bytes": "100000"})
    found = doctor(command)["limits"]
    assert found["state"] == "fail"
    assert "dry.deadletters takes 100,000 bytes, and an event may bring 1,048,588" in found["says"]


def test_the_doctor_sees_an_unclean_election_and_a_count_that_differs(settings, command, sidechain):
    config = settings()
    made(config, config.topic("dry.decisions"), 4, **{"unclean.leader.election.enable": "true"})
    assert doctor(command)["durability"]["state"] == "fail"
    assert "dry.decisions has 4 partitions, not 8" in doctor_text(sidechain, config)


def doctor_text(sidechain, config: Config) -> str:
    environment = {"PATH": "", "HOME": str(config.data), "SIDECHAIN_PARTITIONS": "8"}
    words = ["--pack", "network", "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    done = sidechain("doctor", *words, env=environment)
    assert done.returncode == 3
    return done.stdout


@pytest.mark.parametrize(
    ("key", "mode", "state", "says"),
    [
        (None, None, "fail", "host is personal"),
        ("short", 0o600, "fail", "not usable"),
        ("x" * 32, 0o644, "warn", "can be read by others"),
        ("x" * 32, 0o600, "ok", "key"),
    ],
)
def test_the_doctor_looks_at_the_pseudonym_key(sidechain, tmp_path, key, mode, state, says):
    """Without a cluster: the other findings stand all the same."""
    environment = {"PATH": "", "HOME": str(tmp_path)}
    if key is not None:
        path = tmp_path / "key"
        path.write_text(key)
        path.chmod(mode)
        environment["SIDECHAIN_PSEUDONYM_KEY_FILE"] = str(path)
    done = sidechain("doctor", "--pack", "web", "--bootstrap", "127.0.0.1:1", "--json", env=environment)
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["pseudonym key"]["state"] == state
    assert says in found["pseudonym key"]["says"]
    assert (found["cluster"]["state"], done.returncode) == ("fail", 3)
