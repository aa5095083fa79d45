"""A shadow beside live chains: what it says a back-test says too, killed or not, and no decision notices it."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.agents.shadowed import shadowed
from sidechain.models.pack_file import load_file
from tests.hosts import few_errors
from tests.lanes import T0, Process, assert_balanced, config_of, made, request, send, until, wait_decided

HALF = 600
PLANTED = Path(__file__).with_name("feature_bug.py")
SINCE = "  - {name: since, aggregate: gap}\n"


@pytest.fixture
def policies(tmp_path: Path) -> list[Path]:
    """The policy in force, and two that might be: with another limit, and with no effect at all."""
    files = []
    for version, limit in ((1, 6), (2, 4), (3, 6)):
        files.append(tmp_path / f"web{version}.yaml")
        files[-1].write_text(few_errors(version, limit, SINCE), encoding="utf-8")
    return files


@pytest.fixture
def config(broker: LocalKafka, prefix: str, policies: list[Path]) -> Config:
    return made(config_of(broker.bootstrap, prefix, policy=policies[0]))


@pytest.fixture
def ask(config: Config):
    """A command on these topics, its answer as data; or what it said when it refused. In this process: most of the
    time would be starts of Python."""

    def command(*words: object, code: int = 0):
        where = ["--json", "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
        done = said(*words, *where)
        assert done.exit_code == code, done.stderr
        return json.loads(done.stdout) if not code else done.stderr

    return command


def said(*words: object) -> Result:
    """What a command says."""
    every = [str(one) for one in words]
    return CliRunner().invoke(build(every), every, catch_exceptions=False)


def shown(config: Config) -> list[dict]:
    """What `shadow show --json` prints of each candidate."""
    return [one.fields() for one in asyncio.run(shadowed(config))]


def seen(config: Config) -> int:
    """Entries the candidates were held against."""
    return sum(chain["entries"] for one in shown(config) for chain in one["chains"])


def traffic(first: int) -> list[tuple[int, bytes, bytes]]:
    """Eleven hosts on four partitions; every seventh request fails, some repeat, a few nobody can read."""
    found = []
    for number in range(first, first + HALF):
        host = f"h{number % 11}.example"
        value = request(number - 44 * (number % 97 == 50), host, status=404 if number % 7 == 0 else 200, bytes=number)
        found.append((number % 11 % 4, host.encode(), b"not json" if number % 101 == 7 else value))
    return found


def labels() -> list[tuple[int, bytes, bytes]]:
    """What was bad, a week later: every third request that failed; of others every tenth was good."""
    found = []
    for number in range(0, HALF, 1):
        is_bad = number % 21 == 0
        if is_bad or number % 10 == 3:
            at = T0 + 7 * 86_400_000
            outcome = {"id": f"req-{number:06d}", "at": at, "label": "bad" if is_bad else "good"}
            found.append((number % 11 % 4, f"h{number % 11}.example".encode(), msgspec.json.encode(outcome)))
    return found


def test_it_says_what_a_back_test_says_whatever_happened_to_it(
    config: Config, policies: list[Path], ask, tmp_path: Path
) -> None:
    """To the last decision and label: killed in the middle, and started again while decisions go on."""
    monday, friday, same = policies
    candidates = ["--candidate", str(friday), "--candidate", str(same)]
    shadow = Process(config, tmp_path / "shadow.log", role="shadow", options=candidates)
    with Process(config, tmp_path / "dry.log") as dry, shadow:
        shadow.wait_for("the shadow worker runs")
        send(config, traffic(0))
        wait_decided(config, HALF, [dry, shadow])
        until(lambda: seen(config) > 0, shadow.said)
        shadow.kill()
        send(config, labels(), "outcomes")
        send(config, traffic(HALF))
        shadow.start()
        wait_decided(config, 2 * HALF, [dry, shadow])
        file = tmp_path / "outcomes.ndjson"
        file.write_bytes(b"".join(value + b"\n" for _, _, value in labels()))
        told = [ask("policy", "backtest", one, "--labels", file) for one in (friday, same)]
        every = sum(map(len, assert_balanced(config).values()))
        until(lambda: seen(config) == 2 * every, shadow.said)
        found = ask("shadow", "show", "--policy", monday)["candidates"]
        chains = [one.pop("chains") for one in found]
        assert found == told
        assert (found[0]["flips"] > 20, found[0]["labelled"] > 50, found[0]["caught"] > 0) == (True, True, True)
        assert (found[1]["flips"], found[1]["verdict"]) == (0, "PROMOTE")
        assert [{one["partition"] for one in each} for each in chains] == [{0, 1, 2, 3}] * 2
        for one in chains[0]:
            last = assert_balanced(config)[one["partition"]][-1]
            assert (one["entries"], one["seq"], one["head"]) == (last["seq"] + 1, last["seq"], last["hash"])
        assert shadow.stop() == 0
        proposed_and_activated(config, policies, ask)
        assert dry.stop() == 0
    assert ask("replay", "--policy", monday)


def proposed_and_activated(config: Config, policies: list[Path], ask) -> None:
    """What the shadow found goes into a proposal; the policy that follows it is sealed with its name."""
    monday, friday, same = policies
    asked = ask("shadow", "propose", friday, "--by", "anna", "--why", "It catches more.")
    other = ask("proposals", "new", same, "--by", "bob", "--why", "Nothing changes.", "--within", "1ms")
    assert (asked["target"], asked["replaces"]) == (load_file(friday).ref, load_file(monday).ref)
    shown = ask("proposals", "show", asked["id"][:8], "--policy", monday)
    assert "rule many_errors: when `features.errors_5m >= 6` becomes" in shown["record"]["change"]["words"][0]
    (piece,) = shown["record"]["evidence"]
    assert (piece["kind"], piece["policy"]) == ("shadow", load_file(friday).ref)
    assert {one["partition"] for one in piece["figures"]["entries"]} == {0, 1, 2, 3}
    activate = ["policy", "activate", friday, "--by", "carla"]
    assert "there is no proposal 0123456789" in ask(*activate, "--proposal", "0123456789", code=2)
    assert "is too short to name a proposal" in ask(*activate, "--proposal", "012345", code=2)
    assert f"is about {load_file(same).ref}, and the file is" in ask(*activate, "--proposal", other["id"], code=2)
    expired = ask("policy", "activate", same, "--by", "carla", "--proposal", other["id"], code=2)
    assert "has expired" in expired
    done = ask(*activate, "--proposal", asked["id"][:12])
    assert done["proposal"] == asked["id"]
    again = ask(*activate, "--proposal", asked["id"])
    assert (again["new"], again["sealed_at_seq"]) == (False, done["sealed_at_seq"])
    assert "is in force already, without proposal" in ask(*activate, "--proposal", other["id"], code=2)
    for partition, chain in assert_balanced(config).items():
        assert chain[done["sealed_at_seq"][str(partition)]]["proposal"] == asked["id"]
    states = {one["id"]: one["state"] for one in ask("proposals", "list", "--policy", monday)["proposals"]}
    assert states == {asked["id"]: "activated", other["id"]: "expired"}
    assert "is in force already; there is nothing to propose" in ask(
        "proposals", "new", friday, "--by", "anna", "--why", "Again.", code=2
    )


def test_a_candidate_that_raises_ends_the_shadow_and_nothing_else(
    config: Config, policies: list[Path], tmp_path: Path
) -> None:
    """Exit 70 with the traceback; decisions go on, and its last report stands."""
    log, planted = tmp_path / "shadow.log", [str(PLANTED), str(T0 + 1_000 * (HALF + 70))]
    options = ["--candidate", str(policies[1])]
    shadow = Process(config, log, role="shadow", program=planted, options=options)
    with Process(config, tmp_path / "dry.log") as dry, shadow:
        shadow.wait_for("the shadow worker runs")
        send(config, traffic(0))
        wait_decided(config, HALF, [dry, shadow])
        until(lambda: seen(config) > 0, shadow.said)
        send(config, traffic(HALF))
        assert shadow.ended() == 70
        assert "ZeroDivisionError: planted in a feature" in shadow.said()
        send(config, traffic(2 * HALF))
        wait_decided(config, 3 * HALF, [dry])
        assert dry.stop() == 0
    assert_balanced(config)
    assert seen(config) > 0


def test_what_cannot_be_is_said(config: Config, policies: list[Path]) -> None:
    """Whose fault it is, and what to do."""
    _, friday, _ = policies
    where = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    for words, code, sentence in (
        (["shadow", "show", "--pack", "web", "--candidate", "web@9"], 1, "no candidate that begins with web@9 was"),
        (["shadow", "propose", friday, "--by", "anna", "--why", "x"], 2, "no shadow has reported of web@2:"),
        (["proposals", "new", friday, "--by", "anna", "--why", "x", "--evidence", friday], 2, "is no evidence"),
        (["proposals", "new", friday, "--by", "anna", "--why", "x", "--within", "soon"], 2, "soon is no duration"),
        (["proposals", "new", friday, "--by", " ", "--why", "x"], 2, "`author` says nothing"),
        (["proposals", "show", "deadbeef", "--pack", "web"], 2, "there is no proposal deadbeef"),
    ):
        done = said(*words, *where)
        assert (done.exit_code, sentence in done.stderr) == (code, True), done.stderr


def test_proposals_that_are_none_are_passed_over_and_told(config: Config, policies: list[Path], ask) -> None:
    """Whoever may write there can write anything; what is right counts all the same."""
    made_one = ask("proposals", "new", policies[1], "--by", "anna", "--why", "It catches more.")
    send(config, [(0, b"x", b"not json"), (0, b"x", None)], "human.proposals")
    found = ask("proposals", "list", "--policy", policies[0])
    assert [one["id"] for one in found["proposals"]] == [made_one["id"]]
    assert [one["why"] for one in found["unreadable"]] == ["it is not strict JSON: not-json"] * 2
    assert made_one["replaces"] is None  # no chain has begun
    where = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(policies[0])]
    for words in (["proposals", "list"], ["proposals", "show", made_one["id"]]):
        done = said(*words, *where)
        assert (done.exit_code, made_one["id"][:12] in done.stdout) == (0, True), done.stderr
    text = said("proposals", "show", made_one["id"], "--text", *where).stdout
    assert text == policies[1].read_text(encoding="utf-8")
