"""`sidechain generate` as somebody types it: events, outcomes and truth, and a sentence for whatever cannot be."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.answered import answered

WORDS = ["generate", "--pack", "payments", "--keys", "100"]
COMMAND = [sys.executable, "-m", "sidechain.agents", *WORDS]


def test_three_files_that_belong_together(tmp_path: Path) -> None:
    """Line by line the same ids; the summary counts what the truth says, and its digest is that of the file."""
    files = {name: tmp_path / f"{name}.ndjson" for name in ("out", "outcomes", "truth")}
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    done = answered(
        "generate", "--pack", "payments", "--events", "9000", "--seed", "7", "--keys", "150", "--json", *words
    )
    assert done.returncode == 0, done.stderr
    events, outcomes, truth = (list(map(json.loads, one.read_text().splitlines())) for one in files.values())
    assert len(events) == 9_000
    assert [one["id"] for one in events] == [one["id"] for one in outcomes] == [one["id"] for one in truth]
    assert [one["label"] == "bad" for one in outcomes] == [one["kind"] > 0 for one in truth]
    told = json.loads(done.stdout)
    kinds = [sum(one["kind"] == kind for one in truth) for kind in range(4)]
    assert told["kinds"] == dict(zip(("none", "amount", "terminal", "customer"), kinds, strict=True))
    assert all(kinds)
    assert (told["events"], told["bad"]) == (9_000, 9_000 - kinds[0])
    assert told["sha256"] == sha256(files["out"].read_bytes()).hexdigest()


def test_events_go_to_standard_output_and_can_begin_another_day() -> None:
    """Data on stdout and nothing else; what is told of it on stderr."""
    done = answered(
        "generate", "--pack", "payments", "--events", "30", "--keys", "50", "--start", "2026-01-01T00:00:00Z"
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(events) == 30
    assert 1_767_225_600_000 <= events[0]["at"] < 1_767_225_600_000 + 86_400_000
    assert done.stderr.splitlines()[-1].startswith("30 events from 2026-01-01T")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--events", "0"], 2, "greater than or equal to 1"),
        (["--events", "-5"], 2, "greater than or equal to 1"),
        (["--events", "many"], 2, "valid integer"),
        (["--events", "5", "--seed", "-1"], 2, "greater than or equal to 0"),
        (["--events", "5", "--seed", str(2**64)], 2, "less than or equal to"),
        (["--events", "5", "--seed", "0x7"], 2, "valid integer"),
        (["--events", "5", "--keys", "3"], 2, "greater than or equal to 10"),
        (["--events", "5", "--pack", "web"], 2, "pack web has no generator; there is one for payments"),
        (["--events", "5", "--start", "tomorrow"], 2, "--start must be a time such as 2018-04-01T00:00:00Z"),
        (["--events", "5", "--start", "2018-04-01T00:00:00"], 2, "with its offset, not 2018-04-01T00:00:00"),
        (["--events", "5", "--start", "1999-12-31T00:00:00Z"], 2, "must lie between 2000-01-01T00:00:00Z and"),
        (["--events", "999", "--start", "2099-12-31T00:00:00Z"], 2, "would pass 2100-01-01T00:00:00Z"),
        (["--events", "5", "--json"], 2, "with --json name a file with --out"),
        (["--events", "5", "--out", "one", "--truth", "./one"], 2, "need a file each"),
        (["--events", "5", "--out", "no/one"], 2, "no/one cannot be written: No such file or directory"),
        (["--events", "5", "--outcomes", "."], 2, ". cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    words: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, the reason, and no traceback."""
    monkeypatch.chdir(tmp_path)
    done = answered(*WORDS, *words)
    assert done.returncode == code
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NO /dev/full here: a full disk cannot be played")
def test_a_full_disk_is_the_surroundings_fault(tmp_path: Path) -> None:
    """Exit 3: nothing the caller typed was wrong."""
    done = subprocess.run(
        [*COMMAND, "--events", "500", "--out", "/dev/full"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "sidechain: the output cannot be written to its end: No space left on device"
    )


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    """As `| head` does."""
    running = subprocess.Popen([*COMMAND, "--events", "5000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b'{"id":"1-0",')
    running.stdout.close()
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 141
    assert b"Traceback" not in said
