"""`sidechain verify FILE...`: several files at once, and whatever else a file may hold is a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidechain.agents.problems import UsageProblem
from sidechain.agents.verify_files import BLOCK_BYTES, LINE_MAX_BYTES, blocks, verify_file, verify_files
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack

POLICY = load_pack("network")


def chain(partition: int, count: int) -> bytes:
    """So many entries of one partition, one a line."""
    entries = Decider(POLICY, partition=partition).lines(samples.events(POLICY)[:count])
    return b"".join(one + b"\n" for one in entries)


CHAIN = chain(3, 2_500)  # more than two blocks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions-3.ndjson"


def ignored(_count: int) -> None:
    """Nobody watches."""


def verify(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidechain.agents", "verify", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_blocks_lose_no_byte_and_know_where_they_begin(file: Path) -> None:
    assert len(CHAIN) > 2 * BLOCK_BYTES
    file.write_bytes(CHAIN)
    found = list(blocks(file))
    assert b"".join(one + b"\n" for _, lines in found for one in lines) == CHAIN
    assert all(CHAIN[start:].startswith(lines[0] + b"\n") for start, lines in found)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"], ids=["lf", "crlf", "blank lines"])
def test_an_unbroken_file_is_unbroken_whatever_ends_its_lines(file: Path, end: bytes) -> None:
    file.write_bytes(CHAIN.replace(b"\n", end))
    proof = verify_file(file, ignored)
    assert (proof.partition, proof.entries, proof.fault) == (3, 2_500, None)


def test_a_fault_says_where_it_stands(file: Path) -> None:
    """The entry, and the line and byte an editor can be sent to."""
    lines = CHAIN.splitlines(keepends=True)
    byte = sum(map(len, lines[:2_000]))
    lines[2_000] = lines[2_000].replace(b'"action":"', b'"action":"x', 1)
    file.write_bytes(b"".join(lines))
    proof = verify_file(file, ignored)
    assert proof.fault is not None
    assert (proof.fault.position, proof.fault.seq) == (2_000, 2_000)
    assert proof.where == f"decisions-3.ndjson, line 2,001, byte {byte:,}"


def test_several_processes_answer_as_one_does(tmp_path: Path) -> None:
    """Also when one of the chains is broken; the order is that of the files."""
    files = [tmp_path / f"{one}.ndjson" for one in range(3)]
    for partition, one in enumerate(files):
        one.write_bytes(chain(partition, 400 + partition))
    files[1].write_bytes(files[1].read_bytes()[10:])
    told: list[int] = []
    proofs = verify_files(files, 2, told.append)
    assert proofs == verify_files(files, 1, ignored)
    assert [one.entries for one in proofs] == [400, 0, 402]
    assert sum(told) == 400 + 401 + 402  # behind a fault too: another epoch may begin there


def test_a_file_that_cannot_be_read_ends_all_processes(tmp_path: Path, file: Path) -> None:
    file.write_bytes(CHAIN)
    with pytest.raises(UsageProblem, match="cannot be read"):
        verify_files([file, tmp_path / "none"], 2, ignored)


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"", 2, "holds no entry"),
        (b"\n\r\n", 2, "holds no entry"),
        (b"id,host,at\n1,a,2\n", 1, "not a sealed entry"),
        (bytes(range(256)) * 40, 1, "not a sealed entry"),
        (CHAIN[:1_000], 1, "not a sealed entry"),
        (b"\xff\xfe" + CHAIN, 1, "its bytes are not those that were sealed"),
        (CHAIN[: CHAIN.index(b"\n") + 1] * 2, 1, "out of sequence"),
    ],
    ids=["empty", "blank", "foreign", "binary", "cut", "not UTF-8", "repeated"],
)
def test_any_other_file_is_a_sentence(file: Path, content: bytes, code: int, sentence: str) -> None:
    file.write_bytes(content)
    done = verify(file)
    assert done.returncode == code
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_without_end_is_refused_before_it_is_held(file: Path) -> None:
    with file.open("wb") as out:
        out.write(CHAIN)
        out.truncate(100 * 1024 * 1024)
    with pytest.raises(UsageProblem, match=f"line at byte {len(CHAIN):,} has more than {LINE_MAX_BYTES:,} bytes"):
        verify_file(file, ignored)


def test_a_folder_is_a_sentence(tmp_path: Path) -> None:
    done = verify(tmp_path)
    assert done.returncode == 2
    assert "Is a directory" in done.stderr
