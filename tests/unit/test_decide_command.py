"""`sidechain decide`, `verify` and `replay` over files: the same bytes everywhere, and every lie is named."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack
from sidechain.models.sources import BadRow, convert
from tests.answered import answered, answered_bytes

ALL_ROWS = Path(__file__).parents[3] / "shared" / "data" / "kddcup.data_10_percent.gz"
# As different as two machines can be in what Python reads of its surroundings.
HERE = {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}
THERE = {"PYTHONHASHSEED": "4242", "TZ": "Pacific/Apia", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"}


def command(*words: str | Path) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", "sidechain.agents", *map(str, words)]


def run(*words: str | Path, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """One bounded run."""
    return subprocess.run(command(*words), input=stdin, capture_output=True, timeout=120, env=os.environ | environ)


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """The sample of the network pack."""
    return samples.events(load_pack("network"))


@pytest.fixture
def chain(tmp_path: Path, events: list[bytes]) -> tuple[Path, Path]:
    """A file of 300 events, and the file of their entries."""
    given, sealed = tmp_path / "events.ndjson", tmp_path / "decisions.ndjson"
    given.write_bytes(b"".join(one + b"\n" for one in events[:300]))
    done = answered_bytes("decide", "--pack", "network", given)
    assert (done.returncode, done.stderr) == (0, b"")
    sealed.write_bytes(done.stdout)
    return given, sealed


def test_surroundings_change_no_byte(events: list[bytes]) -> None:
    """Another hash seed, time zone and language: the same output, which is the library's."""
    stdin = b"".join(one + b"\n" for one in events)
    here, there = (run("decide", "--pack", "network", stdin=stdin, **one) for one in (HERE, THERE))
    assert (here.returncode, here.stderr) == (0, b"")
    assert here.stdout == there.stdout
    assert here.stdout.splitlines() == Decider("network").lines(events)


@pytest.mark.skipif(not ALL_ROWS.exists(), reason=f"NO {ALL_ROWS.name} beside the repository: only its sample is tried")
def test_surroundings_change_no_byte_over_all_rows() -> None:
    """494,021 connections, decided twice at once; digests are compared, half a gigabyte each way is not kept."""
    import gzip

    deciders = [Digested(one) for one in (HERE, THERE)]
    with gzip.open(ALL_ROWS) as rows:
        for block in _blocks(convert(load_pack("network"), "kdd", (one.rstrip(b"\n") for one in rows))):
            for one in deciders:
                one.write(block)
    (here, there) = [one.result() for one in deciders]
    assert here == there
    assert here[1] == 494_021


class Digested:
    """`sidechain decide` in given surroundings, its output taken in as it comes."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command("decide", "--pack", "network"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environ,
        )
        self._digest, self._lines = sha256(), 0
        self._reading = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reading.start()

    def write(self, block: bytes) -> None:
        """More of its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(block)

    def result(self) -> tuple[str, int]:
        """SHA-256 of the output, and its lines."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(120) == 0
        self._reading.join()
        return self._digest.hexdigest(), self._lines

    def _read(self, stream: BinaryIO) -> None:
        while block := stream.read(1 << 20):
            self._digest.update(block)
            self._lines += block.count(b"\n")


def _blocks(converted: Iterable[bytes | BadRow]) -> Iterable[bytes]:
    held: list[bytes] = []
    for one in converted:
        assert not isinstance(one, BadRow)
        held.append(one)
        if len(held) == 1_000:
            yield b"\n".join(held) + b"\n"
            held.clear()
    yield b"".join(one + b"\n" for one in held)


def test_a_partition_is_named_in_its_entries(events: list[bytes]) -> None:
    """`--partition 3` gives what partition 3 would hold."""
    done = run("decide", "--pack", "network", "--partition", "3", stdin=b"\n\n".join(events[:50]))
    assert done.stdout.splitlines() == Decider("network", partition=3).lines(events[:50])
    assert msgspec.json.decode(done.stdout.splitlines()[-1])["source"] == ["events", 3, 49]


def test_verify_and_replay_read_what_decide_wrote(chain: tuple[Path, Path]) -> None:
    """Both say how many entries there are and where the chain ends."""
    given, sealed = chain
    head = msgspec.json.decode(sealed.read_bytes().splitlines()[-1])["hash"]
    verified = answered_bytes("verify", sealed)
    assert verified.stdout.decode() == f"partition 0: 300 entries, unbroken, head {head[:16]}\n"
    replayed = answered_bytes("replay", "--pack", "network", "--events", given, "--decisions", sealed)
    assert replayed.stdout.decode() == f"partition 0: 300 entries, identical, head {head[:16]}\n"
    assert (verified.returncode, replayed.returncode) == (0, 0)


@pytest.mark.parametrize("at", [0, 17, 299])
def test_an_altered_byte_is_named(chain: tuple[Path, Path], at: int) -> None:
    """Exit 1, and the entry that is not what was sealed."""
    _, sealed = chain
    lines = sealed.read_bytes().splitlines()
    lines[at] = lines[at].replace(b'"trust_bp":', b'"trust_bp":1', 1)
    sealed.write_bytes(b"\n".join(lines) + b"\n")
    done = answered_bytes("verify", sealed)
    assert done.returncode == 1
    assert done.stdout.startswith(b"partition 0: BROKEN at entry %d (states seq %d): its bytes are not" % (at, at))
    assert done.stderr.splitlines()[-1] == b"sidechain: not unbroken"


def test_a_lie_that_was_sealed_again_does_not_replay(chain: tuple[Path, Path]) -> None:
    """Whoever reseals the whole chain passes `verify`; the inputs still say otherwise."""
    given, sealed = chain
    forged, prev = [], "0" * 64
    for line in sealed.read_bytes().splitlines():
        entry = msgspec.json.decode(line)
        entry["prev"] = prev
        if entry["seq"] == 40:
            entry["action"] = "allow" if entry["action"] != "allow" else "block"
        del entry["hash"]
        body = msgspec.json.encode(entry)[:-1]
        prev = sha256(body).hexdigest()
        forged.append(body + b',"hash":"%s"}' % prev.encode())
    sealed.write_bytes(b"\n".join(forged) + b"\n")
    assert answered_bytes("verify", sealed).returncode == 0
    done = answered_bytes("replay", "--pack", "network", "--events", given, "--decisions", sealed, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["fault"]["problem"] == "`action` differs"
    assert json.loads(done.stdout)[0]["fault"]["seq"] == 40


def test_an_input_that_is_missing_or_changed_does_not_replay(chain: tuple[Path, Path]) -> None:
    """A byte of an event, or its end of the file, is part of what was decided."""
    given, sealed = chain
    good = given.read_bytes()
    for bad, problem in ((good.replace(b'"tcp"', b'"udp"', 1), "differs"), (good[: good[:-1].rindex(b"\n")], "gone")):
        given.write_bytes(bad)
        done = answered_bytes("replay", "--pack", "network", "--events", given, "--decisions", sealed)
        assert done.returncode == 1
        assert problem in done.stdout.decode()


def test_what_cannot_be_decided_goes_to_a_file_with_its_bytes(tmp_path: Path, events: list[bytes]) -> None:
    """One line each: reason, field, offset, digest, length, value. The events around it are decided."""
    bad = [b"{", b"\xff\xfe", events[0].replace(b'"land":0', b'"land":2'), events[1]]
    letters = tmp_path / "letters.ndjson"
    stdin = b"\n".join([events[0], bad[0], events[1], *bad[1:], events[2]])
    done = run("decide", "--pack", "network", "--dead-letters", letters, stdin=stdin)
    assert done.returncode == 0
    assert done.stderr.decode() == f"3 of 7 events could not be decided (see {letters})\n"
    kinds = [msgspec.json.decode(line)["kind"] for line in done.stdout.splitlines()]
    rejected = ["rejected"] * 2
    assert kinds == ["decision", "rejected", "decision", *rejected, "duplicate", "decision"]
    found = [json.loads(line) for line in letters.read_bytes().splitlines()]
    assert [(one["dlq.reason"], one["dlq.field"], one["dlq.offset"]) for one in found] == [
        ("not-json", "", "1"),
        ("bad-utf8", "", "3"),
        ("out-of-bounds", "land", "4"),
    ]
    assert [one["value"] for one in found] == ["{", "\\xff\\xfe", bad[2].decode()]
    assert [(one["dlq.digest"], one["dlq.length"]) for one in found] == [
        (sha256(one).hexdigest(), str(len(one))) for one in bad[:3]
    ]


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path, events: list[bytes]) -> None:
    """As in `sidechain decide … | head -1`: no traceback, and the exit code a closed pipe has."""
    given = tmp_path / "events.ndjson"
    given.write_bytes(b"".join(one + b"\n" for one in events))
    decide = subprocess.Popen(
        command("decide", "--pack", "network", given), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert decide.stdout is not None
    assert decide.stdout.readline().startswith(b'{"v":1,"seq":0,')
    decide.stdout.close()
    _, said = decide.communicate(timeout=60)
    assert (decide.returncode, said) == (141, b"")


def test_an_entry_comes_as_soon_as_its_event(events: list[bytes]) -> None:
    """As behind `tail -f`: the input is not over, and what has come is decided."""
    decide = subprocess.Popen(command("decide", "--pack", "network"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert decide.stdin is not None
    assert decide.stdout is not None
    try:
        for seq, event in enumerate(events[:3]):
            decide.stdin.write(event[:40])
            decide.stdin.flush()
            decide.stdin.write(event[40:] + b"\r\n")
            decide.stdin.flush()
            assert msgspec.json.decode(decide.stdout.readline())["seq"] == seq
        decide.stdin.close()
        assert decide.wait(60) == 0
    finally:
        decide.kill()


def test_what_has_no_lines_is_refused_before_it_is_held(tmp_path: Path, events: list[bytes]) -> None:
    """A file of another kind: one sentence; what stood before it is decided."""
    given = tmp_path / "events.ndjson"
    given.write_bytes(events[0] + b"\n" + bytes(20_000_000))
    done = answered_bytes("decide", "--pack", "network", given)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    assert done.stderr.decode().startswith(
        "sidechain: a line has more than 8,388,608 bytes; no topic takes such a record"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decide", "--pack", "network", "missing.ndjson"], "missing.ndjson cannot be read: No such file or directory"),
        (["decide", "--pack", "network", "."], ". cannot be read: Is a directory"),
        (
            ["decide", "--pack", "network", "--dead-letters", "no/x"],
            "no/x cannot be written: No such file",
        ),
        (["decide"], "name the policy with --pack NAME or --policy FILE, one of the two"),
        (["decide", "--pack", "network", "--policy", "x.yaml"], "name the policy with --pack NAME or --policy FILE"),
        (["decide", "--pack", "netwrok"], 'did you mean "network"?'),
        (["verify", "missing"], "missing cannot be read: No such file or directory"),
        (["replay", "--pack", "network", "--events", "x"], "--events and --decisions go together"),
        (["explain", "x", "--file", "missing"], "missing cannot be read: No such file or directory"),
    ],
)
def test_what_the_caller_got_wrong_is_one_sentence(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, no traceback."""
    monkeypatch.chdir(tmp_path)
    done = answered(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_a_file_without_entries_is_no_chain(tmp_path: Path) -> None:
    """An empty export must not look proved."""
    empty = tmp_path / "empty"
    empty.touch()
    done = answered_bytes("verify", empty)
    assert (done.returncode, done.stderr.decode()) == (2, f"sidechain: {empty} holds no entry\n")
