"""`sidechain keys`: made once, never overwritten, never shown; and a certificate a stranger can check."""

import json
import shutil
import stat
import subprocess

import pytest
from typer.testing import CliRunner

from sidechain.agents import keys
from sidechain.agents.cli import build
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.models.proof import note
from sidechain.models.proof.certificate import verify
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import leaf_hash
from sidechain.models.proof.note import sign

PHRASE = b"correct horse battery"


def run(*words):
    """One command, in this process."""
    return CliRunner().invoke(build([str(one) for one in words]), [str(one) for one in words])


@pytest.fixture
def place(tmp_path):
    """A root key and two workers' keys."""
    keys.create(tmp_path / "safe", "root", "root")
    keys.create(tmp_path / "one", "worker", "worker-1")
    keys.create(tmp_path / "two", "worker", "worker-2")
    (tmp_path / "phrase").write_bytes(PHRASE + b"\n")
    return tmp_path


def snapshot(folder):
    """Every file and its bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names(folder):
    """What stands in a folder, links that lead nowhere too."""
    return sorted(path.name for path in folder.iterdir())


def certify(place, *words, worker="one"):
    return run(
        *("keys", "certify", "--root-key", place / "safe/root.key", "--worker-key", place / worker / "worker.pub"),
        *words,
    )


@pytest.mark.parametrize("phrase", [None, PHRASE])
@pytest.mark.parametrize("kind", ["root", "worker"])
def test_a_new_key_is_in_two_files_and_nowhere_else(tmp_path, kind, phrase):
    """Output and modes; the private half is read back, and signs what the public half checks."""
    words = ["keys", "new", f"--{kind}", tmp_path / "deep" / "folder"]
    if phrase:
        (tmp_path / "phrase").write_bytes(phrase)
        words += ["--passphrase-file", tmp_path / "phrase"]
    done = run(*words)
    private, public = (tmp_path / "deep" / "folder" / f"{kind}.{end}" for end in ("key", "pub"))
    assert (done.exit_code, done.stdout) == (0, public.read_text())
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert names(private.parent) == [f"{kind}.key", f"{kind}.pub"]
    key = keys.read_private(private, phrase)
    assert key.name == f"sidechain-{kind}"
    assert sign("x\n", [key]).is_signed_by(keys.read_public(public))
    assert keys.read_public(private) == keys.read_public(public) == key.verifier
    secret = key.private.private_bytes_raw()
    assert secret not in private.read_bytes()
    assert all(line not in done.output for line in private.read_text().splitlines()[1:])
    assert ("ENCRYPTED" in private.read_text()) == bool(phrase)


def test_no_two_keys_are_alike(tmp_path):
    made = {keys.create(tmp_path / str(n), "worker", "w").key.public for n in range(8)}
    assert len(made) == 8


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here to read our key file")
def test_another_program_reads_the_private_half(tmp_path):
    """A key must not be locked into this program."""
    made = keys.create(tmp_path, "worker", "w", PHRASE)
    command = [
        "openssl",
        "pkey",
        "-in",
        made.private,
        "-passin",
        f"pass:{PHRASE.decode()}",
        "-pubout",
        "-outform",
        "DER",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.stdout[-32:] == made.key.public


@pytest.mark.parametrize("standing", ["root.key", "root.pub"])
@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_overwritten(tmp_path, standing, link):
    """Neither half, not through a link that leads nowhere; one sentence, exit 2, and nothing changed."""
    if link:
        (tmp_path / standing).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / standing).write_text("precious")
    before = snapshot(tmp_path)
    done = run("keys", "new", "--root", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sidechain: {tmp_path / standing} exists and is not overwritten")
    assert snapshot(tmp_path) == before
    assert names(tmp_path) == [standing]


def test_half_a_key_is_not_left_behind(tmp_path, monkeypatch):
    """The public half cannot be written: the private one goes again."""
    write = keys.write_new

    def full(path, data, mode=0o644):
        if path.suffix == ".pub":
            raise EnvironmentProblem("no room")
        write(path, data, mode)

    monkeypatch.setattr(keys, "write_new", full)
    with pytest.raises(EnvironmentProblem, match="no room"):
        keys.create(tmp_path, "root", "root")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--root DIR or --worker DIR"),
        (["--root", "a", "--worker", "b"], "one of the two"),
        (["--root", "a", "--name", "two words"], "the key's name contains a space"),
        (["--root", "a", "--name", "a+b"], "a plus"),
        (["--root", "a", "--passphrase-file", "none"], "none cannot be read"),
        (["--root", "a", "--passphrase-file", "short"], "the passphrase in short has 5 bytes; at least 16"),
        (["--root", "short"], "cannot be made"),
    ],
)
def test_a_key_that_cannot_be_made(tmp_path, monkeypatch, words, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("short\n")
    done = run("keys", "new", *words)
    assert done.exit_code == (3 if "made" in why else 2)
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(tmp_path) == ["short"]


def test_a_certificate_lets_a_worker_sign(place):
    """From the command to a checkpoint that checks with the root's public file."""
    assert certify(place, "--for", "sidechain/web:0..100", "--out", place / "c1").exit_code == 0
    worker = keys.read_private(place / "one/worker.key")
    point = Checkpoint(origin=Origin("web", 3, 0), size=100, root=leaf_hash(b"x"))
    root = keys.read_public(place / "safe/root.pub")
    found = verify(sign(point.text(), [worker]), [keys.read_note(place / "c1")], root)
    assert (found.certificate.serial, found.certificate.previous) == (1, 0)
    assert found.certificate.key == keys.read_public(place / "one/worker.pub")


def test_a_rotation_names_the_certificate_before_it(place):
    """Serial after serial; dates as a person stated them."""
    certify(place, "--for", "sidechain/web", "--out", place / "c1")
    words = ["--previous", place / "c1", "--not-before", "2026-11-01", "--not-after", "2027-11-01"]
    done = certify(place, "--for", "sidechain/web", "--for", "sidechain/network/0:5..", *words, worker="two")
    assert done.exit_code == 0
    assert done.stdout.split("\n")[:8] == [
        "sidechain/key-certificate/v1",
        "serial=2",
        "previous=1",
        f"key={keys.read_public(place / 'two/worker.pub')}",
        "not-before=2026-11-01",
        "not-after=2027-11-01",
        "for=sidechain/web 0..",
        "for=sidechain/network/0 5..",
    ]
    assert note.parse(done.stdout).is_signed_by(keys.read_public(place / "safe/root.pub"))


def test_a_root_key_with_a_passphrase_certifies_with_it(tmp_path):
    (tmp_path / "phrase").write_bytes(PHRASE + b"\n")
    (tmp_path / "wrong").write_bytes(PHRASE + b"!")
    keys.create(tmp_path / "safe", "root", "root", PHRASE)
    keys.create(tmp_path / "one", "worker", "w")
    right = certify(tmp_path, "--for", "sidechain/web", "--passphrase-file", tmp_path / "phrase")
    assert right.exit_code == 0
    wrong = certify(tmp_path, "--for", "sidechain/web", "--passphrase-file", tmp_path / "wrong")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "the passphrase is wrong" in wrong.stderr
    without = certify(tmp_path, "--for", "sidechain/web")
    assert (without.exit_code, without.stdout) == (2, "")
    assert "needs a passphrase; name the file that holds it with --passphrase-file" in without.stderr


def damage(place, name, change):
    path = place / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("harm", "words", "why"),
    [
        (lambda p: (p / "safe/root.key").unlink(), [], "root.key cannot be read (No such file"),
        (lambda p: (p / "safe/root.key").chmod(0o604), [], "open to everybody here; `chmod 600"),
        (lambda p: damage(p, "safe/root.key", lambda b: b"\xff"), [], "holds no key: it is not text"),
        (lambda p: damage(p, "safe/root.key", lambda b: b""), [], "is no key file"),
        (lambda p: damage(p, "safe/root.key", lambda b: b"x" * 20_000), [], "longer than 16,384 bytes"),
        (lambda p: damage(p, "safe/root.key", lambda b: b[:-60]), [], "the file is damaged"),
        (lambda p: damage(p, "safe/root.key", lambda b: b"x" + b), [], "holds no key: key: its id is"),
        (
            lambda p: damage(p, "safe/root.key", lambda b: (p / "one/worker.pub").read_bytes() + b.split(b"\n", 1)[1]),
            [],
            "its first line is the public half of another key",
        ),
        (
            lambda p: damage(p, "one/worker.pub", lambda b: b.replace(b"worker", b"werker")),
            [],
            "holds no key: key: its",
        ),
        (lambda p: damage(p, "one/worker.pub", lambda b: b + b"\n"), [], "not base64"),
        (lambda p: shutil.copy(p / "safe/root.pub", p / "one/worker.pub"), [], "the root key cannot be a worker's key"),
        (lambda p: None, ["--for", "web"], "--for web: it reads sidechain/web"),
        (lambda p: None, ["--for", "sidechain/web:9..5"], "it reads sidechain/web"),
        (lambda p: None, ["--for", "sidechain/web"], "two lines are for one origin"),
        (lambda p: None, ["--not-before", "2027-01-02", "--not-after", "2027-01-01"], "ends before it begins"),
        (lambda p: None, ["--previous", "none"], "none cannot be read"),
        (lambda p: None, ["--previous", "phrase"], "phrase: no empty line"),
        (lambda p: None, ["--out", "phrase"], "phrase exists and is not overwritten"),
        (
            lambda p: certify(p, "--for", "sidechain/web", "--out", p / "c"),
            ["--previous", "c", "--serial", "1"],
            "above",
        ),
    ],
)
def test_a_certificate_that_cannot_be_made_changes_nothing(place, monkeypatch, harm, words, why):
    """One sentence, exit 2."""
    monkeypatch.chdir(place)
    harm(place)
    before = snapshot(place)
    done = certify(place, "--for", "sidechain/web", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert snapshot(place) == before


def test_a_previous_certificate_must_be_the_roots_own(place):
    """Else a stranger's file would decide the serial."""
    keys.create(place / "other", "root", "root")
    certify(place, "--for", "sidechain/web", "--out", place / "c1")
    shutil.copy(place / "other/root.key", place / "safe/root.key")
    done = certify(place, "--for", "sidechain/web", "--previous", place / "c1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "it is not signed by root (" in done.stderr


def test_show_says_what_a_file_holds_and_never_the_private_half(place):
    """Key files, a certificate, a checkpoint; as lines and as JSON."""
    keys.create(place / "locked", "root", "locked", PHRASE)
    for path, kind in (
        ("safe/root.pub", "public key"),
        ("safe/root.key", "private key"),
        ("locked/root.key", "private key, encrypted"),
    ):
        done = run("keys", "show", place / path, "--json")
        key = keys.read_public(place / path)
        assert json.loads(done.stdout) == {"kind": kind, "name": key.name, "id": key.id.hex(), "key": str(key)}
    secret = (place / "safe/root.key").read_text().splitlines()[2]
    shown = run("keys", "show", place / "safe/root.key")
    assert shown.exit_code == 0
    assert secret not in shown.output
    certify(place, "--for", "sidechain/web", "--for", "sidechain/x", "--not-after", "2027-01-01", "--out", place / "c")
    lines = [line.split(None, 1) for line in run("keys", "show", place / "c").stdout.splitlines()]
    assert lines[:2] == [["kind", "certificate"], ["serial", "1"]]
    assert ["for", "sidechain/x 0.."] in lines
    assert ["not", "after    2027-01-01"] in lines
    point = Checkpoint(origin=Origin("web", 3, 0), size=7, root=leaf_hash(b"x"), head="ab" * 32, totals={"rejected": 2})
    worker = keys.read_private(place / "one/worker.key")
    (place / "point").write_text(str(sign(point.text(), [worker])))
    fields = json.loads(run("keys", "show", place / "point", "--json").stdout)
    assert (fields["origin"], fields["size"], fields["rejected"]) == ("sidechain/web/3/epoch-0", 7, 2)


def test_show_checks_a_certificate_with_the_roots_public_key(place):
    """Exit 1 when another key signed it, or when it was changed."""
    certify(place, "--for", "sidechain/web", "--out", place / "c")
    root = place / "safe/root.pub"
    good = run("keys", "show", place / "c", "--root", root)
    assert good.exit_code == 0
    assert f"signed by {keys.read_public(root)}" in good.stdout
    keys.create(place / "other", "root", "root")
    other = run("keys", "show", place / "c", "--root", place / "other/root.pub")
    assert (other.exit_code, other.stdout) == (1, "")
    damage(place, "c", lambda data: data.replace(b"sidechain/web", b"sidechain/wob"))
    changed = run("keys", "show", place / "c", "--root", root)
    assert (changed.exit_code, changed.stdout) == (1, "")
    assert "is false: the text was changed" in changed.stderr


@pytest.mark.parametrize(
    ("content", "words", "why"),
    [
        (None, [], "cannot be read"),
        (b"", [], "holds no key"),
        (b"\x00\xff", [], "it is not text"),
        (b"x\n\ny\n", [], "line 3: a signature line reads"),
        (str(sign("x\n", [note.SigningKey("n", keys.Ed25519PrivateKey.generate())])).encode(), [], "neither a cert"),
        (b"public", ["--root", "safe/root.pub"], "nothing signs it; --root is for certificates"),
    ],
)
def test_show_of_something_else_is_one_sentence(place, monkeypatch, content, words, why):
    monkeypatch.chdir(place)
    if content is not None:
        (place / "file").write_bytes(content)
    done = run("keys", "show", "file", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_private_key_of_another_kind_is_refused(place):
    """An Ed448 key under our first line."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey

    pem = Ed448PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    damage(place, "one/worker.key", lambda data: data.split(b"\n", 1)[0] + b"\n" + pem)
    with pytest.raises(UsageProblem, match="another kind of key"):
        keys.read_private(place / "one/worker.key")
