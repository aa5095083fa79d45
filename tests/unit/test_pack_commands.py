"""`sidechain policy check|test|show` and `sidechain convert`, as a shell sees them: output, errors, exit code."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidechain.models.pack_file import load_pack
from tests.answered import answered_bytes

LINE = b'h.example - - [01/Aug/1995:00:00:00 -0400] "GET /a.html HTTP/1.0" 200 7280\n'
EVENT = (
    b'{"id":"web-000001","host":"h.example","at":807249600000,"method":"GET","path":"/a.html","status":200,'
    b'"bytes":7280}\n'
)


def convert(*words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """In a process of its own: what stands behind a pipe is looked at before it is read."""
    command = [sys.executable, "-m", "sidechain.agents", "convert", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60)


@pytest.fixture
def bad_pack(tmp_path: Path) -> Path:
    """The web pack with one misspelt name."""
    text = load_pack("web").text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("max_keys:", "max_kys:"), encoding="utf-8")
    return path


def test_check_says_ok_or_where_the_mistake_is(bad_pack: Path) -> None:
    """Exit 0 and a line; or exit 1, file, line, column and what was meant."""
    good = answered_bytes("policy", "check", "--pack", "web")
    assert good.returncode == 0
    assert good.stdout.decode() == f"{load_pack('web').ref}: ok, 16 rules, 14 features, 2 typologies, 3 sources\n"
    bad = answered_bytes("policy", "check", bad_pack)
    assert (bad.returncode, bad.stdout) == (1, b"")
    line = bad_pack.read_text(encoding="utf-8").splitlines().index("  max_kys: 1000000") + 1
    assert bad.stderr.decode().splitlines() == [
        f'mine.yaml:{line}:3: unknown field "max_kys" in state; did you mean "max_keys"?',
        "sidechain: the pack is refused for one mistake",
    ]
    found = json.loads(answered_bytes("policy", "check", bad_pack, "--json").stdout)
    assert found["problems"] == [
        {
            "file": "mine.yaml",
            "line": line,
            "column": 3,
            "message": 'unknown field "max_kys" in state',
            "suggestion": "max_keys",
        }
    ]


def test_test_names_the_case_that_fails(tmp_path: Path) -> None:
    """Rule, line, values, and what the condition came to; exit 1."""
    path = tmp_path / "mine.yaml"
    text = load_pack("web").text.replace("fires: [{features.requests_1m: 120}]", "fires: [{features.requests_1m: 99}]")
    path.write_text(text, encoding="utf-8")
    line = next(at for at, one in enumerate(text.splitlines(), 1) if "requests_1m: 99" in one)
    bad = answered_bytes("policy", "test", path)
    assert bad.returncode == 1
    assert bad.stdout.decode().splitlines()[0] == (
        f"rule flood, case on line {line}: should fire, and its condition is false for features.requests_1m: 99"
    )
    good = answered_bytes("policy", "test", "--pack", "network", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout) == {"ok": True, "cases": 43, "failed": [], "untested": []}


def test_show_names_every_rule_and_its_reason() -> None:
    """Somebody who reads no YAML sees what is judged and why."""
    shown = answered_bytes("policy", "show", "--pack", "web").stdout.decode()
    for rule in load_pack("web").rules:
        assert rule.id in shown
        assert rule.reason in shown
    assert len(json.loads(answered_bytes("policy", "show", "--pack", "web", "--json").stdout)["rules"]) == 16


@pytest.mark.parametrize("pack_it", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_convert_reads_plain_and_gzip_from_file_and_stdin(pack_it, tmp_path: Path) -> None:
    """The same bytes come out; problems are counted on standard error only."""
    data = pack_it(LINE + b"nonsense\n")
    path = tmp_path / "access.log"
    path.write_bytes(data)
    for found in (convert("--pack", "web", path), convert("--pack", "web", "-", stdin=data)):
        assert (found.returncode, found.stdout) == (0, EVENT)
        assert found.stderr.decode().splitlines() == [
            "line 2: this is no line of the Common Log Format",
            "events: 1, rows left out: 1",
        ]


def test_convert_stops_at_its_limit() -> None:
    """The first N events, whatever follows."""
    found = convert("--pack", "web", "--limit", "2", "-", stdin=LINE * 5)
    assert (found.returncode, len(found.stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["--pack", "web", "-"], b"", "no source of pack web reads this (there is no row, or no source)"),
        (["--pack", "web", "--source", "common", "-"], b"x\n", "nothing in - could be read as an event of pack web"),
        (["--pack", "web", "no_such_file"], b"", "no_such_file cannot be read: No such file or directory"),
        (
            ["--pack", "wep", "-"],
            b"",
            'wep: there is no such pack, there are network, payments and web; did you mean "web"?',
        ),
        (["-"], b"", "name the policy with --pack NAME or --policy FILE, one of the two"),
        (["--pack", "web", "-"], gzip.compress(LINE * 9)[:-9], "- cannot be read to its end: Compressed file ended"),
        (["--pack", "web", "-"], b"x" * 8_388_609, "line 1 of - has more than 8388608 bytes"),
    ],
    ids=["empty", "nothing", "no file", "no pack", "neither", "cut gzip", "long line"],
)
def test_convert_refuses_with_exit_2_and_a_sentence(words: list[str], stdin: bytes, said: str) -> None:
    """What cannot be read at all is the caller's to mend."""
    found = convert(*words, stdin=stdin)
    assert found.returncode == 2
    assert said in found.stderr.decode()
    assert "Traceback" not in found.stderr.decode()
