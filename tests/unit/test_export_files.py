"""The files of an export: every byte comes back, and a folder is there in full or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidechain.agents.bundle import Bundle
from sidechain.agents.bundle_files import PartFile, read, written
from sidechain.agents.problems import UsageProblem
from sidechain.agents.whole_folder import SUFFIX, swept, whole_folder
from sidechain.models.dry import Line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, b'{"offset":7,"key":null,"value":null}'),
        (b"", b'{"offset":7,"key":"","value":""}'),
        (b'{"a":1}\n', rb'{"offset":7,"key":"{\"a\":1}\n","value":"{\"a\":1}\n"}'),
        ("é\u2028\x00".encode(), '{"offset":7,"key":"é\u2028\\u0000","value":"é\u2028\\u0000"}'.encode()),
        (b"\xff\x00", b'{"offset":7,"key":{"base64":"/wA="},"value":{"base64":"/wA="}}'),
        (b"\xed\xa0\x80", b'{"offset":7,"key":{"base64":"7aCA"},"value":{"base64":"7aCA"}}'),
        (b'{"base64":"/wA="}', rb'{"offset":7,"key":"{\"base64\":\"/wA=\"}","value":"{\"base64\":\"/wA=\"}"}'),
    ],
    ids=["null", "empty", "line break", "text", "no UTF-8", "half a character", "what base64 looks like"],
)
def test_a_record_is_a_line_and_comes_back_byte_for_byte(value: bytes | None, line: bytes) -> None:
    record = Line(7, value, value)
    assert written(record) == line
    assert read(line) == record


def test_every_byte_comes_back() -> None:
    for one in range(256):
        for value in (bytes([one]), bytes([0xC3, one]), b"a" + bytes([one]) + b"b"):
            record = Line(0, value, value)
            assert b"\n" not in written(record)
            assert read(written(record)) == record


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"offset":1,"key":1,"value":null}', b"\xff"])
def test_what_is_no_record_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each of the decoder's own sentences
        read(line)


def test_a_folder_is_there_at_the_end_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "audit"
    with whole_folder(target) as folder:
        PartFile(folder, "one").finish("events", 0)
        assert not target.exists()
    assert [one.name for one in target.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> None:
        with whole_folder(tmp_path / "audit") as folder:
            (folder / "half").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed_by_the_next_and_nothing_else_is(tmp_path: Path) -> None:
    """A killed process holds no lock; one at work does, and what just began may not hold it yet."""
    code = (
        "import os, pathlib, signal, sys\n"
        "from sidechain.agents.whole_folder import whole_folder\n"
        "with whole_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "monday")], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert swept(tmp_path) == []  # a moment old
    aged(left)
    for theirs in (".other.partial", "audit"):
        (tmp_path / theirs).mkdir()
        aged(tmp_path / theirs)
    (tmp_path / f".link{SUFFIX}").symlink_to(tmp_path / "audit")
    (tmp_path / f".file{SUFFIX}").write_bytes(b"kept")
    aged(tmp_path / f".file{SUFFIX}")
    with whole_folder(tmp_path / "tuesday") as folder:
        aged(folder)
        assert swept(tmp_path) == [left]
        assert folder.is_dir()
    kept = {".other.partial", "audit", f".link{SUFFIX}", f".file{SUFFIX}", "tuesday"}
    assert {one.name for one in tmp_path.iterdir()} == kept


def aged(path: Path) -> None:
    """As if it were of yesterday."""
    yesterday = time.time() - 86_400
    os.utime(path, (yesterday, yesterday))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither a file, nor a folder that holds anything."""
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "kept").write_bytes(b"kept")
    file.write_bytes(b"kept")
    for target in (full, file):
        with pytest.raises(UsageProblem, match="nothing is overwritten"), whole_folder(target):
            pass
    assert file.read_bytes() == (full / "kept").read_bytes() == b"kept"


@pytest.mark.parametrize("target", ["none/audit", "file/audit"])
def test_where_no_folder_can_be_made_there_is_a_sentence(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageProblem, match="cannot be written"), whole_folder(tmp_path / target):
        pass


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end: the operating system refuses the same way."""
    code = (
        "import pathlib, resource, sys\n"
        "from sidechain.agents.bundle_files import PartFile\n"
        "from sidechain.agents.whole_folder import whole_folder\n"
        "from sidechain.agents.problems import EnvironmentProblem\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n"
        "try:\n"
        "    with whole_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "        file = PartFile(folder, 'decisions-0.ndjson')\n"
        "        for _ in range(10):\n"
        "            file.write(bytes(1_000_000))\n"
        "        file.finish('decisions', 0)\n"
        "except EnvironmentProblem as problem:\n"
        "    sys.exit(str(problem))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "audit")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "decisions-0.ndjson could not be written, so nothing was: File too large\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"", "is no export"),
        (b"[1]", "is no export"),
        (b'{"v":6,"policy":"a","topics":{},"files":[]}', "export of version 6"),
        (
            (
                b'{"v":1,"policy":"a","topics":{},"files":[{"name":"../a","kind":"policy","partition":0,"records":1,'
                b'"first":null,"last":null,"head":null,"bytes":1,"sha256":""}]}'
            ),
            "is not a file of it",
        ),
    ],
    ids=["no manifest", "empty", "no object", "a later version", "a path out of it"],
)
def test_what_is_no_export_is_a_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(UsageProblem, match=sentence):
        Bundle(tmp_path)


def test_an_export_without_events_cannot_be_replayed(tmp_path: Path) -> None:
    part = (
        b'{"name":"decisions-0.ndjson","kind":"decisions","partition":0,"records":0,"first":null,"last":null,'
        b'"head":null,"bytes":0,"sha256":""}'
    )
    (tmp_path / "manifest.json").write_bytes(b'{"v":1,"policy":"a","topics":{},"files":[%b]}' % part)
    with pytest.raises(UsageProblem, match="--with-events"):
        Bundle(tmp_path).replay(None, lambda _count: None)
