"""`sidechain policy activate`: every partition seals it under load, replay crosses it, a mistake changes nothing."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_file
from tests.answered import answered
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    entries,
    made,
    ordinary,
    pinned,
    send,
    until,
    visible,
    wait_decided,
)

RATE = 500  # events a second
EVENTS = 3_000


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


def command(config: Config, *words: str | Path) -> list[str]:
    """The command line, pointed at this installation."""
    where = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    return [sys.executable, "-m", "sidechain.agents", *map(str, words), *where]


def activate(config: Config, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`sidechain policy activate FILE --by anna`."""
    where = ["--bootstrap", config.bootstrap, "--prefix", config.prefix]
    return answered("policy", "activate", file, "--by", "anna", *words, *where)


def stricter(config: Config, version: int = 2) -> Path:
    """The policy in use with one threshold changed, as its next version."""
    assert config.policy is not None
    text = config.policy.read_text(encoding="utf-8")
    changed = text.replace("\nversion: 1\n", f"\nversion: {version}\n", 1)
    changed = changed.replace(
        "{block: 2500, review: 5000, monitor: 7500}", "{block: 2500, review: 5000, monitor: 9999}"
    )
    assert changed.count("9999") == text.count("9999") + 1
    path = config.policy.with_name(f"web{version}.yaml")
    path.write_text(changed, encoding="utf-8")
    return path


@contextmanager
def load(config: Config, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`sidechain produce` in the background, steadily, while the test goes on."""
    file = folder / "events.ndjson"
    file.write_bytes(b"".join(value + b"\n" for _, _, value in ordinary(EVENTS)))
    assert config.policy is not None
    asked = command(config, "produce", file, "--rate", str(RATE), "--policy", config.policy)
    producer = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield producer
    finally:
        producer.kill()
        producer.wait()


def replayed(config: Config) -> list[object]:
    """The faults found by deciding every entry of every partition again."""

    async def read() -> list[object]:
        async with Topics.of(config) as topics:
            return [one.fault for one in await topics.replay(load_file(config.policy))]

    return asyncio.run(read())


def test_a_threshold_changed_under_load_is_sealed_by_every_partition(config: Config, tmp_path: Path) -> None:
    """Named by who activated it, in force from that entry on, and replay is identical across it."""
    file = stricter(config)
    first, second = load_file(config.policy), load_file(file)
    with Process(config, tmp_path / "worker.log") as worker:
        worker.wait_for("genesis")
        with load(config, tmp_path) as producer:
            until(lambda: sum(map(len, visible(config, "dry.decisions").values())) > RATE, worker.said)
            done = activate(config, file, "--json")
            assert producer.poll() is None, "all events were sent before the policy came: no load, nothing shown"
            assert producer.wait(60) == 0
        wait_decided(config, EVENTS, [worker])
        assert worker.stop() == 0
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["policy"], answer["digest"], answer["new"]) == (second.ref, second.digest, True)
    chains = assert_balanced(config)
    for partition, chain in chains.items():
        at = answer["sealed_at_seq"][str(partition)]
        sealed = chain[at]
        assert (sealed["kind"], sealed["policy"], sealed["previous"]) == ("policy", second.ref, first.ref)
        assert (sealed["by"], sealed["source"]) == ("anna", ["control", 0, answer["offset"]])
        assert {one["policy"] for one in chain[:at]} == {first.ref}
        assert {one["policy"] for one in chain[at:]} == {second.ref}
        # What the threshold was changed for: the same traffic is watched from here on.
        assert {one["tier"] for one in chain[:at]} == {"pass"}
        assert {one["tier"] for one in chain[at + 1 :]} == {"monitor"}
    assert replayed(config) == [None, None, None, None]


def test_what_is_in_force_is_not_activated_again(config: Config, tmp_path: Path) -> None:
    """Neither the policy the chains began under nor the one activated last: no record, no entry, and no long wait."""
    assert config.policy is not None
    file = stricter(config)
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, ordinary(40))
        wait_decided(config, 40, [worker])
        began = activate(config, config.policy)
        assert (began.returncode, visible(config, "control")[0]) == (0, [])
        assert "is in force: the chains began under it" in began.stdout
        done, again = activate(config, file), activate(config, file)
        assert (done.returncode, again.returncode) == (0, 0), again.stderr
        assert "is in force: sealed by partition 0 as entry " in done.stdout
        assert again.stdout == done.stdout
        assert "already, and nothing came after it" in again.stderr
        back = activate(config, config.policy)  # the old policy again is a change like any other
        assert back.returncode == 0, back.stderr
        send(config, ordinary(40, 40))
        wait_decided(config, 80, [worker])
        assert worker.stop() == 0
    chains = entries(config)
    assert [sum(one["kind"] == "policy" for one in chain) for chain in chains.values()] == [2, 2, 2, 2]
    assert len(visible(config, "control")[0]) == 2
    assert replayed(config) == [None, None, None, None]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("max_keys: ", "max_kys: ", 'unknown field "max_kys" in state; did you mean "max_keys"?'),
        (">= 400 ?", ">= 'x' ?", '"of" of feature is_error: >= needs one type on both sides: int and string'),
        ("id: odd_method", "id: intruders_path", 'duplicate id "intruders_path" in rule intruders_path'),
        ("window: 10m", "window: 0m", '"window" must be longer than zero in feature missing_paths_10m'),
        (">= 400 ?", ">=", '"of" of feature is_error: unexpected :'),
    ],
    ids=["unknown field", "type error", "duplicate rule", "window of zero", "syntax"],
)
def test_a_bad_pack_is_refused_before_anything_is_written(config, good: str, bad: str, said: str) -> None:
    """Exit 2 with file, line and column; `control` stays empty."""
    assert config.policy is not None
    text = config.policy.read_text(encoding="utf-8").replace(good, bad, 1)
    file = config.policy.with_name("bad.yaml")
    file.write_text(text, encoding="utf-8")
    done = activate(config, file)
    assert (done.returncode, done.stdout) == (2, "")
    name, line, column, problem = done.stderr.splitlines()[0].removeprefix("sidechain: ").split(":", 3)
    assert (name, problem.strip()) == ("bad.yaml", said)
    assert bad in text.splitlines()[int(line) - 1]
    assert 0 < int(column) <= len(text.splitlines()[int(line) - 1])
    assert visible(config, "control")[0] == []


def test_a_policy_that_fails_its_own_cases_or_nobody_answers_for_is_refused(config) -> None:
    """Exit 2 and a sentence; `control` stays empty."""
    assert config.policy is not None
    wrong = config.policy.with_name("wrong.yaml")
    text = config.policy.read_text(encoding="utf-8")
    wrong.write_text(text.replace("fires: [{event.method: TRACE}", "fires: [{event.method: GET}"), encoding="utf-8")
    failing = activate(config, wrong)
    assert (failing.returncode, failing.stdout) == (2, "")
    assert "1 of the pack's own cases fail" in failing.stderr
    nobody = activate(config, config.policy, "--by", "  ")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "--by names the person" in nobody.stderr
    assert visible(config, "control")[0] == []


def test_without_a_decider_the_wait_ends_with_a_sentence(config) -> None:
    """Exit 3: the record stands, and says so; nothing is lost by waiting no longer."""
    done = activate(config, stricter(config), "--wait", "1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "partitions [0, 1, 2, 3] have not sealed the policy within 1 s; it is on `control`" in done.stderr
    assert len(visible(config, "control")[0]) == 1
