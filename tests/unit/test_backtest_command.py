"""`sidechain policy backtest`: a threshold changes on Friday, and the flips it names are those a real run shows."""

import gzip
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from sidechain.agents.backtest import labels_of
from sidechain.agents.cli import build
from sidechain.agents.problems import UsageProblem
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from sidechain.models.sources import BadRow, rows
from tests.doors import LISTED, doors

EVENTS = 3_000
TEXT = (files("sidechain.models") / "packs" / "network.yaml").read_text(encoding="utf-8")
FRIDAY = {
    "version: 1\n": "version: 2\n",
    "event.count >= 20 && event.serror_rate": "event.count >= 200 && event.serror_rate",
}


def changed(changes: dict[str, str] = FRIDAY) -> str:
    """The pack, with some words of it changed once."""
    text = TEXT
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    return text


def run(*words: str | Path) -> Result:
    """The command, in this process: most of a test's time would be a start of Python."""
    name = ["policy", "backtest"]
    return CliRunner().invoke(build(name), [*name, *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """The first of the sample's connections, and two nobody can read."""
    sample = files("sidechain.models") / "packs" / "samples" / samples.RAW["network"]
    with sample.open("rb") as packed, gzip.open(packed) as raw:
        lines = (line.rstrip(b"\r\n") for line in raw)
        found = []
        for one in rows(load(TEXT.encode(), name="network"), None, lines):
            assert not isinstance(one, BadRow)
            found.append(one.event)
            if len(found) == EVENTS:
                break
    return [*found[:100], b"not json", found[7], *found[100:]]


@pytest.fixture(scope="module")
def folder(events: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two partitions: their events and what they were sealed as."""
    made = tmp_path_factory.mktemp("chains")
    for partition, part in enumerate((events, events[:700])):
        write(made / f"events-{partition}", part)
        write(made / f"decisions-{partition}", Decider(policy_of(TEXT), partition=partition).lines(part))
    (made / "friday.yaml").write_text(changed(), encoding="utf-8")
    return made


def policy_of(text: str) -> Policy:
    return load(text.encode(), name="network.yaml")


def write(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(one + b"\n" for one in lines))


def chains(folder: Path, *partitions: int) -> list[str | Path]:
    """The options that name these partitions' files."""
    return [
        word
        for one in partitions
        for word in ("--events", folder / f"events-{one}", "--decisions", folder / f"decisions-{one}")
    ]


def test_the_friday_story(folder: Path, events: list[bytes], tmp_path: Path) -> None:
    """Every flip the back-test names the real run shows, no other, and with the same actions."""
    listed = tmp_path / "flips.ndjson"
    done = run(folder / "friday.yaml", *chains(folder, 0), "--flips", listed, "--value", "src_bytes", "--json")
    assert done.exit_code == 0, done.stderr
    old, new = (Decider(policy_of(text)).lines(events) for text in (TEXT, changed()))
    real = []
    for line, again, value in zip(old, new, events, strict=True):
        before, after = msgspec.json.decode(line), msgspec.json.decode(again)
        if before.get("action") != after.get("action"):
            stake = json.loads(value)["src_bytes"]
            real.append((before["id"], before["seq"], before["action"], after["action"], stake))
    flips = [json.loads(one) for one in listed.read_bytes().splitlines()]
    assert [(one["id"], one["seq"], one["before"], one["after"], one["stake"]) for one in flips] == real
    assert len(real) > 10
    told = json.loads(done.stdout)
    assert (told["flips"], told["value"], told["inputs"]) == (len(real), sum(one[4] for one in real), EVENTS + 2)
    assert told["rules"]["syn_flood"]["ended"] == len(real)
    assert told["verdicts"]["before"]["duplicate"] == told["verdicts"]["after"]["rejected"] == 1
    assert list(told["weeks"]) == ["1998-W53"]


def test_several_processes_say_what_one_says(folder: Path, tmp_path: Path) -> None:
    """To the byte, the list of flips included."""
    one, two = tmp_path / "one", tmp_path / "two"
    words = [folder / "friday.yaml", *chains(folder, 0, 1), "--json", "--flips"]
    alone, shared = run(*words, one), run(*words, two, "--jobs", "2")
    assert (alone.exit_code, alone.stdout, one.read_bytes()) == (0, shared.stdout, two.read_bytes())
    assert {json.loads(line)["partition"] for line in one.read_bytes().splitlines()} == {0}
    assert json.loads(alone.stdout)["inputs"] == EVENTS + 2 + 700
    assert sorted(tmp_path.iterdir()) == [one, two]  # nothing is left lying about


def test_people_read_the_answer_first(folder: Path) -> None:
    """Word, sums, examples, and then the tables; no policy of the same decisions flips anything."""
    said = run(folder / "friday.yaml", *chains(folder, 0), "--examples", "1")
    first, *rest = said.stdout.splitlines()
    assert first.startswith("REVIEW: ")
    assert any(one.startswith("  block -> ") for one in rest)
    assert sum("syn_flood no longer" in one for one in rest) >= 1
    (folder / "same.yaml").write_text(TEXT + "\n# the same\n", encoding="utf-8")
    same = run(folder / "same.yaml", *chains(folder, 0), "--fail-on-flips", "0")
    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, "PROMOTE: nothing flips")
    failed = run(folder / "friday.yaml", *chains(folder, 0), "--fail-on-flips", "3")
    assert failed.exit_code == 1
    assert "--fail-on-flips allows 3" in failed.stderr


def test_a_period_is_counted_and_the_rest_is_remembered(folder: Path) -> None:
    """The windows have seen what came before it; what lies outside is said."""
    whole = json.loads(run(folder / "friday.yaml", *chains(folder, 0), "--json").stdout)
    middle = str(whole["earliest"] + 100 * (EVENTS // 2))  # the time of an event: one is every 100 ms
    halves = [
        json.loads(run(folder / "friday.yaml", *chains(folder, 0), "--json", option, middle).stdout)
        for option in ("--until", "--since")
    ]
    for name in ("inputs", "flips", "stricter", "milder"):
        assert halves[0][name] + halves[1][name] == whole[name]
    assert halves[0]["outside_period"] == halves[1]["inputs"]


def test_labels_give_precision_and_recall(folder: Path, tmp_path: Path) -> None:
    """As lines or as outcomes; the last of an id counts."""
    labels = tmp_path / "labels"
    labels.write_text(
        'network-000001,1\n{"id":"network-000001","at":1,"label":"good"}\nnetwork-000002,Bad\n{"id":"x","cost_minor":5}\n'
    )
    assert labels_of(labels) == {"network-000001": False, "network-000002": True}
    told = json.loads(run(folder / "friday.yaml", *chains(folder, 0), "--labels", labels, "--json").stdout)
    assert told["labelled"] == 2
    assert told["after"].keys() == {"bad", "named", "named_bad", "precision_bp", "recall_bp"}


def swap(file: Path) -> None:
    lines = file.read_bytes().splitlines()
    write(file, [*lines[:9], lines[10], lines[9], *lines[11:]])


def test_lists_beside_files_are_named(tmp_path: Path) -> None:
    """As for decide and replay; without them it says whose rows are missing."""
    events = [b'{"id":"1","badge":"a","at":5}', b'{"id":"2","badge":"b","at":6}']
    write(tmp_path / "events-0", events)
    decider = Decider(load(LISTED.encode(), name="doors"), lists={"lost": ["a"]})
    write(tmp_path / "decisions-0", [*decider.opening, *decider.lines(events)])
    (tmp_path / "rows").write_text("a\n")
    (tmp_path / "milder.yaml").write_text(LISTED.replace("block", "review"))
    words = [tmp_path / "milder.yaml", *chains(tmp_path, 0), "--json"]
    told = json.loads(run(*words, "--lists", f"lost={tmp_path / 'rows'}").stdout)
    assert [(one["before"], one["after"], one["flips"]) for one in told["moves"]] == [("block", "review", 1)]
    without = run(*words)
    assert (without.exit_code, "entry 0 put a list in force" in without.stderr) == (2, True)
    astray = run(tmp_path / "milder.yaml", "--lists", "lost=x")
    assert (astray.exit_code, "--lists goes with --events" in astray.stderr) == (2, True)


QUIET = doors('rules: [{id: never, when: "event.at < 0", then: note, reason: Never.}]\n')
OTHER_EVENT = QUIET.replace("pack: doors", "pack: network")


@pytest.mark.parametrize(
    ("policy", "prepare", "words", "sentence"),
    [
        (QUIET, None, (), "under pack network, and the candidate is a policy of pack doors"),
        (OTHER_EVENT, None, (), "the candidate decides none of 3,002 inputs (3,001 of them: unknown-field)"),
        (changed(), None, ("--until", "1999-01-01"), "none of 3,002 inputs lies in the period"),
        (changed(), None, ("--since", "Friday"), "--since Friday is no time"),
        (
            changed(),
            None,
            ("--value", "flag"),
            "--value names an int field of the event, and flag is none; there are: ",
        ),
        (changed(), lambda file: file.unlink(), (), "events-0 is no file"),
        (changed(), lambda file: cut(file, 0), (), "the event at offset 0, which is not there"),
        (changed(), lambda file: cut_lines(file, 50), (), "which is not there: the events end before the decisions do"),
        (changed(), lambda file: cut(file, 5_000), (), "these events do not belong to these decisions"),
        (changed(), swap, (), "these events do not belong to these decisions"),
        (changed(), lambda file: cut(beside(file), 0), (), "decisions-0 holds no entry"),
        (changed(), lambda file: cut(beside(file), 9_000), (), "is none: "),
        (changed(), lambda file: cut_lines(beside(file), 50), (), "the decisions were cut short"),
        (changed(), lambda file: (file.parent / "friday.yaml").unlink(), (), "cannot be read"),
        (changed({"version: 1\n": "versoin: 1\n"}), None, (), 'did you mean "version"'),
        (changed(), None, ("--labels", "/dev/null"), "holds no label"),
        (changed(), None, ("--events", "/dev/null"), "once each for a partition; there are 2 and 1"),
        (changed(), None, ("--export", "."), "--export holds its own events"),
    ],
)
def test_bad_input_is_a_sentence(
    folder: Path, tmp_path: Path, policy: str, prepare: Callable | None, words: tuple[str, ...], sentence: str
) -> None:
    """Exit 2, whose fault it is, and nothing on standard output."""
    for name in ("events-0", "decisions-0"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "friday.yaml").write_text(policy, encoding="utf-8")
    if prepare is not None:
        prepare(tmp_path / "events-0")
    done = run(tmp_path / "friday.yaml", *chains(tmp_path, 0), *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_a_label_nobody_understands_names_its_line(tmp_path: Path) -> None:
    """A third of a file would be a third of the truth."""
    for line in (b"id", b"a,perhaps", b",bad", b"\xff,bad", b'{"id":1,"label":"bad"}'):
        write(tmp_path / "labels", [b"a,bad", line])
        with pytest.raises(UsageProblem, match="line 2 is no label"):
            labels_of(tmp_path / "labels")


def beside(file: Path) -> Path:
    return file.with_name(file.name.replace("events", "decisions"))


def cut(file: Path, size: int) -> None:
    with file.open("r+b") as opened:
        opened.truncate(size)


def cut_lines(file: Path, count: int) -> None:
    write(file, file.read_bytes().splitlines()[:count])
