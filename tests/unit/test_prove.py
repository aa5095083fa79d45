"""`sidechain prove`: from a log to one file, and from that file to an answer, with the root's public key alone."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sidechain.agents.cli import main
from sidechain.models.proof.note import sign
from tests.answered import answered_bytes
from tests.proofs import OTHER_ROOT, ROOT, key
from tests.signed import EVENTS, chain, exported, ndjson, note, root_file

TWICE = [*EVENTS[:30], EVENTS[3], *EVENTS[30:]]  # entry 30 is a duplicate of entry 3
ID = json.loads(EVENTS[3])["id"]
LATE = json.loads(EVENTS[-1])["id"]


def asked(folder: Path, capfd, monkeypatch, *words: str) -> tuple[int, str, str]:
    """A command in this process, in `folder`, with nothing on standard input: exit code, output, errors."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["sidechain", *words])
    with (folder / "nothing").open("w+") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(SystemExit) as ended:
            main()
    out, errors = capfd.readouterr()
    return int(ended.value.code or 0), out, errors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export of two partitions, the root's key, notes somebody kept, and two proofs."""
    folder = tmp_path_factory.mktemp("made")
    exported(folder / "audit", {0: chain(0, TWICE), 1: chain(1, EVENTS[60:])}, (20, 50))
    root_file(folder)
    (folder / "other.pub").write_text(f"{OTHER_ROOT.verifier}\n")
    lines = chain(0, TWICE)
    (folder / "old.note").write_text(str(note(lines, 20)))
    (folder / "wide.note").write_text(str(note(lines, 50)))
    (folder / "forked.note").write_text(str(note(chain(0), 20, head="ab" * 32)))
    (folder / "foreign.note").write_text(str(note(chain(1, EVENTS[60:]), 20, 1)))
    for name, words in [("proof.json", [ID]), ("history.json", ["--from", folder / "old.note"])]:
        done = answered_bytes("prove", *words, "--export", folder / "audit")
        assert done.returncode == 0, done.stderr
        (folder / name).write_bytes(done.stdout)
    return folder


def verify(made: Path, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return answered_bytes("verify", "--root", made / "root.pub", *words)


def test_every_entry_that_names_the_id_is_proved_to_a_stranger(made: Path, tmp_path: Path) -> None:
    """Who has the two files, and nothing of the log."""
    for name in ("proof.json", "root.pub"):
        shutil.copy(made / name, tmp_path)
    done = verify(tmp_path, "--proof", tmp_path / "proof.json", "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["id"], first["kind"], second["id"], second["kind"]) == (ID, "decision", ID, "duplicate")
    assert first["proved"] == "this entry is number 3 of sidechain/web/0/epoch-0"
    assert (first["size"], first["certificate"]) == (50, 1)
    assert first["signed by"].startswith("worker (")


def test_a_history_is_proved_to_who_held_its_beginning(made: Path) -> None:
    done = verify(made, "--proof", made / "history.json", "--checkpoint", made / "old.note")
    assert done.returncode == 0, done.stderr
    assert b"at size 50 begins with all 20 entries" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--proof", "proof.json", "--checkpoint", "foreign.note"], 1, "a proof for another log"),
        (["--proof", "proof.json", "--checkpoint", "old.note"], 1, "is not the one in"),
        (["--proof", "history.json", "--checkpoint", "forked.note"], 1, "is not the one in"),
        (["--proof", "proof.json", "--root", "other.pub"], 1, "none of the 1 certificates"),
        (["--proof", "none.json"], 2, "cannot be read"),
        (["--proof", "root.pub"], 2, "holds no proof"),
        (["--proof", "proof.json", "--root", "old.note"], 2, "no key"),
        (["--proof", "proof.json", "--root", "none.pub"], 2, "cannot be read"),
        (["--proof", "proof.json", "--export", "audit"], 2, "one of the three"),
        (["--export", "audit", "--checkpoint", "root.pub"], 2, "no empty line"),
        (["--export", "audit", "--root", "other.pub"], 1, "BROKEN"),
        (["--export", "audit", "--checkpoint", "forked.note"], 1, "names another head"),
        (["audit/decisions-0.ndjson"], 1, "no signed checkpoint covers"),
        (["audit/decisions-0.ndjson", "--checkpoints", "audit/checkpoints-1.ndjson"], 1, "a chain that is not here"),
        (["audit/decisions-0.ndjson", "--checkpoints", "audit/decisions-0.ndjson"], 2, "no record of dry.checkpoints"),
        (["audit/decisions-0.ndjson", "--checkpoint", "foreign.note"], 1, "a chain that is not here"),
        (["-"], 2, "standard input holds no entry"),
    ],
)
def test_whatever_proves_nothing_is_a_sentence(
    made: Path, capfd, monkeypatch, words: list[str], code: int, sentence: str
) -> None:
    rooted = [] if "--root" in words else ["--root", "root.pub"]
    found, out, errors = asked(made, capfd, monkeypatch, "verify", *words, *rooted)
    assert (found, sentence in out + errors) == (code, True), out + errors


def test_an_altered_byte_of_a_proof_proves_nothing(made: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    proof.write_bytes((made / "proof.json").read_bytes().replace(b"allow", b"block", 1))
    done = verify(made, "--proof", proof)
    assert done.returncode == 1
    assert b"not those that were sealed" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["no-such-id"], 1, "no entry names no-such-id"),
        ([LATE], 1, "is not signed yet: the last checkpoint has size 50"),
        (["--seq", "3", "--partition", "7"], 1, "no partition 7"),
        (["--seq", "3"], 2, "--partition and --seq"),
        ([], 2, "name the event's ID"),
        ([ID, "--checkpoint", "foreign.note"], 1, "which does not cover entry 3 of partition 0"),
        ([ID, "--checkpoint", "root.pub"], 2, "no empty line"),
        (["--from", "wide.note", "--to", "old.note"], 1, "the older checkpoint has size 50, the newer one 20"),
        (["--from", "old.note", "--to", "foreign.note"], 1, "two chains"),
        (["--from", "none.note"], 2, "cannot be read"),
    ],
)
def test_what_cannot_be_proved_is_a_sentence(
    made: Path, capfd, monkeypatch, words: list[str], code: int, sentence: str
) -> None:
    found, out, errors = asked(made, capfd, monkeypatch, "prove", "--export", "audit", *words)
    assert (found, sentence in errors, out) == (code, True, ""), errors


def test_a_log_that_is_not_the_signed_one_yields_no_proof(made: Path, tmp_path: Path) -> None:
    """Whoever edits and seals anew can make no proof either."""
    shutil.copytree(made / "audit", tmp_path / "audit")
    (tmp_path / "audit" / "decisions-0.ndjson").write_bytes(ndjson(chain(0, [EVENTS[9], *TWICE[1:]])))
    done = answered_bytes("prove", ID, "--export", tmp_path / "audit")
    assert done.returncode == 1
    assert b"not those that were signed as sidechain/web/0/epoch-0 at size 50" in done.stderr


def test_an_entry_is_proved_under_an_older_checkpoint_too(made: Path, tmp_path: Path) -> None:
    """Signed by any key the root certified: here the note was signed by another one since."""
    done = answered_bytes("prove", ID, "--checkpoint", made / "old.note", "--export", made / "audit")
    assert done.returncode == 0, done.stderr
    (tmp_path / "proof.json").write_bytes(done.stdout)
    checked = verify(made, "--proof", tmp_path / "proof.json", "--checkpoint", made / "old.note", "--json")
    (only,) = json.loads(checked.stdout)  # the duplicate stands behind it
    assert (only["size"], only["kind"]) == (20, "decision")
    assert sign("a\n", [key("worker", 12)]).is_signed_by(ROOT.verifier) is False


def test_checkpoints_are_kept_as_files_and_hold_the_log_to_them(made: Path, tmp_path: Path) -> None:
    done = answered_bytes("checkpoints", "--export", made / "audit", "--out", tmp_path / "kept", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["size"] for one in json.loads(done.stdout)] == [50, 50]
    kept = sorted((tmp_path / "kept").iterdir())
    assert [one.name for one in kept] == ["web-0-epoch-0-50.note", "web-1-epoch-0-50.note"]
    words = [word for one in kept for word in ("--checkpoint", one)]
    assert verify(made, "--export", made / "audit", *words).returncode == 0
    assert answered_bytes("checkpoints", "--export", made / "audit", "--out", tmp_path / "kept").returncode == 0


def test_standard_input_is_verified_as_a_file_is(made: Path) -> None:
    data = (made / "audit" / "decisions-0.ndjson").read_bytes()
    records, old = made / "audit" / "checkpoints-0.ndjson", made / "old.note"
    done = answered_bytes(
        "verify", "-", "--checkpoints", records, "--checkpoint", old, "--root", made / "root.pub", stdin=data
    )
    assert done.returncode == 0, done.stderr
    assert b"121 entries, unbroken" in done.stdout
    assert b"3 checkpoints, the last at 50 (signed), 71 entries behind it" in done.stdout
    spoiled = answered_bytes("verify", "-", stdin=data.replace(b"allow", b"block", 1))
    assert spoiled.returncode == 1
    assert b"(-, line 1, byte 0)" in spoiled.stdout
