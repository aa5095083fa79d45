"""`sidechain produce` and `sidechain tail`: what a person types to see records go in and come out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka

GOOD = '{"id":"req-1","host":"a.example","at":807256800000,"method":"GET","path":"/","status":200,"bytes":1713}'
ODD = '{"id":"req-2","no host":true}'


@pytest.fixture
def there(broker: LocalKafka, prefix: str, sidechain) -> list[str]:
    """The options that lead to a fresh set of topics of pack web."""
    options = ["--pack", "web", "--bootstrap", broker.bootstrap, "--prefix", prefix]
    applied = sidechain("topics", "apply", *options)
    assert applied.returncode == 0, applied.stderr
    return options


def test_every_line_is_sent_and_keyed_by_the_packs_key_field(tmp_path: Path, sidechain, there: list[str]) -> None:
    """Also the line that is no event: judging is the decider's work."""
    file = tmp_path / "events.ndjson"
    file.write_text(f"{GOOD}\n\n{ODD}\n", encoding="utf-8")

    sent = sidechain("produce", str(file), *there, "--json")
    read = sidechain("tail", "events", "--once", *there, "--json")

    assert json.loads(sent.stdout)["sent"] == 2, sent.stderr
    records = {one["value"]["id"]: one for one in map(json.loads, read.stdout.splitlines())}
    assert records["req-1"]["key"] == "a.example"
    assert records["req-2"]["key"] is None
    assert records["req-1"]["value"] == json.loads(GOOD)


def test_tail_stops_where_it_is_told(tmp_path: Path, sidechain, there: list[str]) -> None:
    """`--limit` ends it, and values come as they stand on the topic."""
    file = tmp_path / "events.ndjson"
    file.write_text(f"{GOOD}\n" * 3, encoding="utf-8")
    sidechain("produce", str(file), *there, "--rate", "1000")

    read = sidechain("tail", "events", "--from-start", "--limit", "2", *there)

    assert read.stdout == f"{GOOD}\n{GOOD}\n"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["produce", "nowhere.ndjson"], 2, "cannot be read"),
        (["produce", "-", "--rate", "5", "--speed", "5"], 2, "give one"),
        (["tail", "decisions"], 2, "unknown topic decisions"),
    ],
)
def test_wrong_words_get_a_sentence(words: list[str], code: int, sentence: str) -> None:
    """Nothing is connected to for a command that cannot be meant."""
    command = [sys.executable, "-m", "sidechain.agents", *words, "--pack", "web", "--bootstrap", "127.0.0.1:1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input="", check=False)

    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_no_broker_is_a_sentence_and_exit_3(tmp_path: Path) -> None:
    """The environment is not ready, and the sentence says how to get one."""
    file = tmp_path / "events.ndjson"
    file.write_text(GOOD, encoding="utf-8")
    options = ["--pack", "web", "--bootstrap", "127.0.0.1:1"]
    command = [sys.executable, "-m", "sidechain.agents", "produce", str(file), *options]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 3
    assert "sidechain broker start" in done.stderr
