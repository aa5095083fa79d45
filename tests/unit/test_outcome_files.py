"""Outcomes in a file beside events: where each is taken, that a replay needs them, and what a back-test learns."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.models.compare import Comparison, Judged, Pair
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from sidechain.models.interleaved import AT_ONCE, Outcomes
from sidechain.models.late_labels import LateLabels, Told
from sidechain.models.pack_file import load_pack
from sidechain.models.packs.generators import GENERATORS
from tests.unit.test_fold_budgets import DAY, T0, WITHOUT

EVENTS = 3_000
KEYS = 40  # so that these payments take weeks, and labels come among them


def run(*words: str | Path) -> Result:
    name = list(map(str, words[:2])) if words[0] == "policy" else [str(words[0])]
    return CliRunner().invoke(build(name), list(map(str, words)), catch_exceptions=False)


def taken(events: list[bytes], outcomes: list[bytes]) -> list[bytes]:
    """Both, in the order in which a partition takes them."""
    waiting = Outcomes(outcomes, "when")
    found = [line for event in events for line in (*waiting.before(event), event)]
    return found + [line for some in waiting.rest() for line in some]


def event(when: object) -> bytes:
    return json.dumps({"when": when}).encode()


def outcome(at: object) -> bytes:
    return json.dumps({"at": at}).encode()


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (([], []), []),
        (([1, 2], []), [0, 1]),
        (([], [1, 2]), [0, 1]),
        (([5, 9], [5]), [0, 2, 1]),  # never before an event of its own time
        (([5, 9], [4, 6, 9, 10]), [2, 0, 3, 1, 4, 5]),
        (([5, 9], [7, 3]), [0, 2, 3, 1]),  # behind a later one: with it
        (([9, 5], [7]), [2, 0, 1]),
        (([5, 9], ["x", 7]), [2, 0, 3, 1]),  # waits for nobody
        (([None, 9], [1]), [0, 2, 1]),  # nothing is due before what has no time
        ((["x", 9.5], [1, 2]), [0, 1, 2, 3]),
    ],
)
def test_an_outcome_comes_before_the_first_event_later_than_it(times, order):
    """Numbers name the events, then the outcomes."""
    lines = [event(one) for one in times[0]] + [outcome(one) for one in times[1]]
    whole = [b'{"n":%d,%b' % (number, line[1:]) for number, line in enumerate(lines)]
    events, outcomes = whole[: len(times[0])], whole[len(times[0]) :]
    assert [json.loads(one)["n"] for one in taken(events, outcomes)] == order


@given(st.lists(st.integers(0, 9) | st.none()), st.lists(st.integers(0, 9) | st.none()))
def test_nothing_is_lost_and_the_order_of_each_file_stays(whens, ats):
    """Whatever the times."""
    found = taken([event(one) for one in whens], [outcome(one) for one in ats])
    assert [one for one in found if b"when" in one] == [event(one) for one in whens]
    assert [one for one in found if b"at" in one] == [outcome(one) for one in ats]


def test_what_is_left_comes_some_at_a_time():
    """A file of outcomes is never held whole."""
    sizes = [len(one) for one in Outcomes((outcome(1) for _ in range(2 * AT_ONCE + 1)), "when").rest()]
    assert sizes == [AT_ONCE, AT_ONCE, 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up payments with their labels a week later, and what both were sealed as."""
    made = tmp_path_factory.mktemp("outcomes")
    generator = GENERATORS["payments"](6, KEYS, None)
    items = [one for one, _ in zip(_items(generator), range(EVENTS), strict=False)]
    write(made / "events", [generator.event(one) for one in items])
    write(made / "outcomes", [*(generator.outcome(one) for one in items), b"not json"])
    done = run("decide", "--pack", "payments", "--outcomes", made / "outcomes", made / "events")
    assert done.exit_code == 0
    assert f"1 of {2 * EVENTS + 1} events and outcomes could not be read" in done.stderr
    (made / "decisions").write_bytes(done.stdout_bytes)
    text = load_pack("payments").text.replace("event.amount_minor > 22000\n", "event.amount_minor > 3000\n")
    (made / "candidate.yaml").write_text(text, encoding="utf-8")
    assert text != load_pack("payments").text
    return made


def _items(generator) -> Iterator:
    for some in generator.slices():
        yield from some


def write(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(one + b"\n" for one in lines))


def test_every_decision_is_settled_among_the_events(folder):
    """Not at their end: each stands behind every event up to its own time."""
    entries = [msgspec.json.decode(one) for one in (folder / "decisions").read_bytes().splitlines()]
    kinds = [one["kind"] for one in entries]
    assert kinds.count("settlement") == EVENTS
    assert kinds.count("refused-outcome") == 1
    assert kinds.index("settlement") < EVENTS / 2
    times = [one["at"] for one in entries if one["kind"] == "decision"]
    decided = 0
    for one in entries:
        decided += one["kind"] == "decision"
        if one["kind"] == "settlement":
            assert times[decided - 1] <= one["at"]
            assert decided == EVENTS or one["at"] < times[decided]


def test_a_replay_needs_the_outcomes(folder):
    """The chain says what it was made of; without it nobody can say that it is right."""
    files = ["--pack", "payments", "--events", folder / "events", "--decisions", folder / "decisions"]
    assert run("replay", *files, "--outcomes", folder / "outcomes").exit_code == 0
    without = run("replay", *files)
    assert without.exit_code == 1
    assert "its input is gone" in without.stdout
    write(folder / "others", (folder / "outcomes").read_bytes().replace(b"good", b"bad", 1).splitlines())
    assert run("replay", *files, "--outcomes", folder / "others").exit_code == 1


def test_a_back_test_learns_hits_and_misses_from_the_chain(folder):
    """The same, to the last number, as from a file of the labels."""
    files = ["--events", folder / "events", "--decisions", folder / "decisions", "--json"]
    command = ["policy", "backtest", folder / "candidate.yaml", *files]
    of_chain = json.loads(run(*command, "--outcomes", folder / "outcomes").stdout)
    write(folder / "labels", (folder / "outcomes").read_bytes().splitlines()[:-1])
    of_file = json.loads(run(*command, "--labels", folder / "labels").stdout)
    assert of_chain == of_file
    assert of_chain["labelled"] == EVENTS
    assert of_chain["after"]["named_bad"] > 0
    assert of_chain["caught"] + of_chain["missed"] > 0
    middle = str((of_chain["earliest"] + of_chain["latest"]) // 2)
    halves = [json.loads(run(*command, option, middle).stdout)["labelled"] for option in ("--since", "--until")]
    assert sum(halves) == EVENTS
    assert min(halves) > 100


def test_a_label_is_of_its_own_epoch(tmp_path):
    """Entry 1 of the epoch is settled, which lies outside the period; entry 1 before it is another input."""
    fold = Fold(WITHOUT, 0, keyed=False)
    times = {"a": T0, "b": T0 + 1, "c": T0 + DAY}
    events = [json.dumps({"id": one, "badge": "x", "at": at}).encode() for one, at in times.items()]
    records = [Line(at, None, value) for at, value in enumerate(events)]
    lines = [line for _, line in fold.events(records[:2]).entries]
    deed = {"at_ms": T0, "by": "ben", "why": "lost"}
    again, opening = Fold.begin_epoch(WITHOUT, 0, 1, stated(lines[-1]), fold.next, keyed=False, **deed)
    lines += [opening, *(line for _, line in again.events(records[2:]).entries)]
    outcomes = [json.dumps({"id": "c", "at": T0 + DAY, "label": "bad"}).encode()]
    lines += [line for _, line in again.outcomes([Line(0, None, outcomes[0])]).entries]
    for name, content in (("events", events), ("decisions", lines), ("outcomes", outcomes)):
        write(tmp_path / name, content)
    (tmp_path / "desk.yaml").write_text(WITHOUT.text)
    words = [word for name in ("events", "outcomes", "decisions") for word in (f"--{name}", tmp_path / name)]
    command = ["policy", "backtest", tmp_path / "desk.yaml", *words, "--json"]
    assert json.loads(run(*command).stdout)["labelled"] == 1
    assert json.loads(run(*command, "--until", str(T0 + 2)).stdout)["labelled"] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["replay", "--pack", "payments", "--outcomes", "FILE"], "--outcomes goes with --events"),
        (["policy", "backtest", "CANDIDATE", "--outcomes", "FILE"], "--outcomes goes with --events"),
        (
            ["policy", "backtest", "CANDIDATE", "--events", "FILE", "--decisions", "FILE", *["--outcomes", "FILE"] * 2],
            "once each; there are 2 and 1",
        ),
        (["decide", "--pack", "payments", "--outcomes", "none", "FILE"], "none cannot be read"),
    ],
)
def test_bad_input_is_a_sentence(folder, words, sentence):
    """Exit 2, and no entry."""
    names = {"FILE": folder / "outcomes", "CANDIDATE": folder / "candidate.yaml"}
    done = run(*(names.get(one, one) for one in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


def pair(seq: int) -> Pair:
    return Pair(0, seq, "p@1:0", f"e{seq}", 0, Judged("allow"), Judged("block"))


def test_labels_find_their_input_as_long_as_a_decision_can_be_settled():
    """One that fell out of memory, or of an epoch before, is passed over; one is told once."""
    found = Comparison()
    late = LateLabels(found, remembered=3, block=1)
    for seq in range(6):
        found.add(pair(seq))
        late.wait(pair(seq))
    for seq in (1, 2, 2, 9):
        late.told(Told(seq, is_bad=True))
    assert (found.sums.labelled, found.sums.caught, len(late)) == (1, 1, 3)
    late.begin()
    late.told(Told(5, is_bad=True))
    assert found.sums.labelled == found.weeks["1970-W01"].labelled == 1
