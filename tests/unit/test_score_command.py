"""`sidechain score`: the wet worker's scores without a broker."""

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.pseudonym import pseudonym
from sidechain.agents.tap import Decision, Mask, entry_in
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack
from sidechain.topics.wet import Score
from tests.answered import answered_bytes
from tests.scoring import scorer

ROWS = 900
SECRET = b"sixteen bytes or more"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the sample of the web pack, whose key is personal."""
    file = tmp_path_factory.mktemp("score") / "events.ndjson"
    file.write_bytes(b"".join(one + b"\n" for one in samples.events(load_pack("web"))[:ROWS]))
    return file


def run(*words: str | Path, code: int = 0, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = answered_bytes("score", *words, stdin=stdin)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_the_records_are_those_the_worker_writes(events: Path, tmp_path: Path) -> None:
    """The same taps in the same batches through the worker's own scorer; keys are its pseudonyms."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    done = run("--pack", "web", "--json", "--batch", "300", "--pseudonym-key-file", secret, events)
    policy = load_pack("web")
    mask, worker = Mask(policy, SECRET), scorer(policy.wet)
    decided = [entry_in(one) for one in Decider(policy).lines(events.read_bytes().splitlines())]
    taps = [tap for one in decided if isinstance(one, Decision) and (tap := mask.tap(0, one)) is not None]
    expected = [one for first in range(0, len(taps), 300) for one in worker.score(taps[first : first + 300])]
    assert [msgspec.json.decode(one, type=Score) for one in done.stdout.splitlines()] == expected
    assert sum(one.score is not None for one in expected) >= 300
    host = json.loads(events.read_bytes().splitlines()[0])["host"]
    assert expected[0].key == pseudonym(SECRET, "host", host)
    assert f"{sum(one.score is None for one in expected)} decisions have no score" in done.stderr.decode()


def test_what_passed_before_is_learned_from_and_not_printed(events: Path, tmp_path: Path) -> None:
    """From standard input, in words, names as they are; nothing is left to warm up."""
    lines = events.read_bytes().splitlines(keepends=True)
    before = tmp_path / "before.ndjson"
    before.write_bytes(b"".join(lines[:700]))
    done = run("--pack", "web", "--learn", before, stdin=b"".join(lines[700:]))
    printed = done.stdout.decode().splitlines()
    assert len(printed) == ROWS - 700
    assert done.stderr == b""
    some = run("--pack", "web", "--learn", before, "--above", "0.9", stdin=b"".join(lines[700:])).stdout.decode()
    assert some.splitlines() == [one for one in printed if float(one.split()[0]) >= 0.9]
    assert 0 < len(some.splitlines()) < len(printed) / 2


@pytest.mark.parametrize(
    ("words", "stdin", "sentence"),
    [
        (("--pack", "web", "nowhere"), b"", "nowhere cannot be read: No such file or directory"),
        (("--pack", "wbe"), b"", "wbe"),
        ((), b"", "name the policy with --pack NAME or --policy FILE"),
    ],
)
def test_bad_usage_is_told_and_ends_with_2(words: tuple[str, ...], stdin: bytes, sentence: str) -> None:
    """Nothing on standard output."""
    done = run(*words, code=2, stdin=stdin)
    assert sentence in done.stderr.decode()
    assert done.stdout == b""


def test_events_that_cannot_be_decided_are_counted() -> None:
    """And the rest is scored."""
    done = run("--pack", "web", stdin=b"{}\nnonsense\n")
    assert done.stdout == b""
    assert "2 events or outcomes could not be read" in done.stderr.decode()
