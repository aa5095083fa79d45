"""`sidechain train`: the trainer's trial, card and artefact from files, without a broker."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from sidechain.agents.cli import build
from sidechain.agents.model_files import ModelFiles, kept
from sidechain.agents.problems import UsageProblem
from sidechain.agents.wet import edge_trainer
from sidechain.agents.wet.edge_trainer import Beside, Bounds, Chains, Survey, trained
from sidechain.models.pack_file import load, load_pack
from sidechain.models.policy import Policy
from sidechain.models.wet import boosted_fit
from sidechain.models.wet import card as cards
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.training import Request
from sidechain.models.wet.trial import STATED, Thresholds

HOUR_MS = 3_600_000
LATE = 48  # decisions between one and its outcome
SMALL = Bounds(first_fit=200, thresholds=Thresholds(labels=300, bad=30, labels_most=5_000), trial=0.3)
POLICY = load(
    b"""
pack: doors
version: 7
event:
  max_step: 1d
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key, personal: true}
    at: {type: int, role: time}
    held_s: {type: int}
    door: {type: string}
features:
  - {name: held, aggregate: value, of: event.held_s}
  - {name: kind, aggregate: count, window: 1h}
  - {name: own, aggregate: value, of: int(event.badge)}
signals:
  risk: {max_age: 1h}
  door_risk: {of: event.door, max_age: 7d, learn: {share: bad, window: 28d}}
rules:
  - {id: long, when: event.held_s > 100, then: monitor, points: 4000, reason: Long.}
wet: {vector: [held, kind, own], groups: [kind], experts: [forest, champion]}
""",
    name="doors",
)


def entries(
    count: int, *, partitions: int = 1, label: Callable[[bool], str | None] = lambda bad: "bad" if bad else "good"
) -> list[list[bytes]]:
    """Chains whose decisions, an hour apart, were bad where both the feature and the signal are large."""
    random = np.random.default_rng(5)
    chains: list[list[bytes]] = [[] for _ in range(partitions)]
    known: list[tuple[int, int, bool]] = []
    for at in range(count):
        partition, bad = at % partitions, bool(random.random() < 0.25)
        held = int(random.lognormal(4 + bad))
        risk = int(random.integers(0, 4_000) + 2_000 * bad)
        seq = len(chains[partition])
        chains[partition].append(
            b'{"v":1,"seq":%d,"kind":"decision","id":"d-%d","key":"b","at":%d,"action":"allow","tier":"pass","trust_bp":9000,'
            b'"score_bp":%d,"policy":"doors@7:aaaaaaaaaaaa","features":{"held":%d,"kind":%d,"own":%d},"signals":{"risk":{"value":9999},'
            b'"door_risk":{"value":%d,"of":"east"}}}'
            % (seq, at, at * HOUR_MS, 4_000 * (held > 100), held, at % 3, bad, risk)
        )
        known.append((partition, seq, bad))
        if len(known) > LATE and (said := label(known[-LATE - 1][2])) is not None:
            of, settled, _ = known[-LATE - 1]
            chains[of].append(
                b'{"v":1,"seq":%d,"kind":"settlement","settles":%d,"at":%d,"label":"%b"}'
                % (len(chains[of]), settled, at * HOUR_MS, said.encode())
            )
    return chains


def written(folder: Path, chains: Iterable[list[bytes]]) -> dict[int, Path]:
    files = {}
    for partition, lines in enumerate(chains):
        files[partition] = folder / f"decisions-{partition}.ndjson"
        files[partition].write_bytes(b"".join(one + b"\n" for one in lines))
    return files


def quick(asked: Request) -> Boosted:
    return boosted_fit.fit(asked.rows, asked.is_bad, asked.names, asked.seed, asked.version, rounds=15)


def train(files: dict[int, Path], policy: Policy = POLICY, bounds: Bounds = SMALL, **more: object):
    return trained(policy, files, lambda _: None, lambda _: None, bounds=bounds, fit=quick, **more)


def test_a_model_is_tried_on_what_came_after_it_and_is_better_than_the_rules(tmp_path, monkeypatch):
    """`own` would tell it everything; but it is a personal value, and such features do not leave the dry side."""
    monkeypatch.setattr(edge_trainer, "ROWS", 100)  # the trial goes on although it has enough
    found = train(written(tmp_path, entries(3_000, partitions=3)))
    card = found.card
    assert card.trial.verdict == "PROMOTE"
    assert card.features == ("held", "kind", "own", "door_risk")  # not what the wet side said of the key itself
    model = found.ended.challenger.model
    used = {model.names[one] for one in model.nodes.feature[~model.nodes.is_leaf]}
    assert {"held", "door_risk"} <= used <= {"held", "kind", "door_risk"}
    # The newest three tenths of the 2,952 outcomes are of the trial, and nothing it was fitted to is among them.
    assert 885 <= card.trial.after.rows <= 890
    assert card.data.until < 2_952 * HOUR_MS * 7 // 10
    assert card.data.latest < card.data.until - (LATE - 2) * HOUR_MS
    assert card.trial.after.average_precision > card.trial.before.average_precision + 0.1
    assert {one.group for one in card.segments} == {"kind"}
    assert card.made == 2_999 * HOUR_MS  # where the decisions had come to: no clock was asked
    assert set(card.data.topics["dry.decisions"]) == {"0", "1", "2"}


def _later(line: bytes, by_ms: int) -> bytes:
    entry = json.loads(line)
    return json.dumps(entry | {"at": entry["at"] + by_ms}).encode()


def test_outcomes_sealed_a_moment_before_their_time_count_and_those_of_a_later_time_do_not(tmp_path):
    """Only a few are held at once; the last ones are of a time no decision has come to."""
    [chain] = entries(1_000)
    moved = [_later(one, HOUR_MS // 2) if b'"settles"' in one else one for one in chain]
    survey = Survey(early=10)
    survey.take(iter(Chains(written(tmp_path, [moved]), 86_400_000, lambda _: None)))
    assert (survey.decisions, survey.known.total()) == (1_000, 1_000 - LATE - 1)


def test_the_same_files_give_the_same_bytes(tmp_path):
    files = written(tmp_path, entries(1_500, partitions=2))
    first, again = train(files), train(dict(reversed(files.items())))
    assert cards.encode(first.card) == cards.encode(again.card)
    assert first.ended.challenger.model.to_bytes() == again.ended.challenger.model.to_bytes()


def test_a_champion_is_held_against_and_judged_only_where_it_knew_nothing(tmp_path):
    """The same rows teach the same: nobody is better than himself."""
    files = written(tmp_path, entries(3_000))
    first = train(files)
    beside = Beside(first.ended.challenger.model, 2_500 * HOUR_MS)
    found = train(files, beside=beside)
    assert found.card.trial.beside == first.card.model
    assert found.card.trial.after.rows == 3_000 - LATE - 2_501
    assert not found.ended.trial.is_better()


@pytest.mark.parametrize(
    ("count", "label", "sentence"),
    [
        (0, lambda _: "good", "there is no decision in these files"),
        (700, lambda _: None, "none of the 700 decisions has an outcome with a label yet"),
        (700, lambda _: "good", "652 outcomes, 0 of them bad, are too few: a trial needs 300 with 30 bad ones"),
        (500, lambda bad: "bad" if bad else "good", "452 outcomes, [0-9]+ of them bad, are too few"),
    ],
    ids=["no decision", "no outcome", "nothing bad", "too few"],
)
def test_too_little_to_learn_from_is_said_with_numbers(tmp_path, count, label, sentence):
    with pytest.raises(UsageProblem, match=sentence):
        train(written(tmp_path, entries(count, label=label)))


def test_what_is_no_entry_is_passed_over_and_counted(tmp_path):
    (chain,) = entries(1_500)
    files = written(tmp_path, [[b"nobody's line", *chain, b'{"kind":"decision"}']])
    assert train(files).unreadable == 2


def run(*words: str | Path, code: int, command: str = "train") -> Result:
    asked = [command, *map(str, words)]
    done = CliRunner().invoke(build(asked), asked)
    assert done.exit_code == code, done.output
    return done


def test_the_command_writes_model_and_card_and_says_the_verdict(tmp_path):
    """What is written is what `models propose` reads."""
    policy = tmp_path / "doors.yaml"
    policy.write_text(POLICY.text)
    (file,) = written(tmp_path, entries(8_000)).values()
    done = run("--policy", policy, "--out", tmp_path / "out", "--json", file, code=0)
    told = json.loads(done.stdout)
    assert (told["better"], told["verdict"], told["beside"]) == (True, "PROMOTE", "rules")
    model, card, digest = kept(Path(told["file"]))
    assert (model.name, card.policy) == (told["model"], POLICY.ref)
    assert ModelFiles(tmp_path / "out").card(1, model.digest, digest) == card
    assert card.trial.after.rows >= STATED.labels
    done = run("propose", told["file"], "--by", "anna", "--pack", "payments", code=2, command="models")
    assert f"was made under policy {POLICY.ref}, and this installation is of pack payments" in done.stderr
    again = run("--policy", policy, "--out", tmp_path / "out", "--beside", told["card"], file, code=1)
    assert "REVIEW: " in again.stdout
    assert "is not better by what is asked for, and nothing was written" in again.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--pack", "web", "FILE"), "asks no champion: add `champion` to the `experts`"),
        (("--pack", "payments"), "name the folder of an export"),
        (("--pack", "payments", "-"), "standard input can be read once only"),
        (("--pack", "payments", "--export", "FOLDER"), "is no export"),
        (("--pack", "payments", "FILE", "FILE2"), "are both of partition 0"),
        (("--pack", "payments", "FILE", "--beside", "FILE2"), "is no model with its card beside it"),
    ],
    ids=["no champion", "nothing", "standard input", "no export", "twice", "no model"],
)
def test_a_command_that_cannot_be_meant_is_said_to_be(tmp_path, words, sentence):
    (tmp_path / "a.ndjson").write_bytes(b"")
    (tmp_path / "b.ndjson").write_bytes(b"")
    names = {"FILE": tmp_path / "a.ndjson", "FILE2": tmp_path / "b.ndjson", "FOLDER": tmp_path}
    done = run("--out", tmp_path / "out", *(names.get(one, one) for one in words), code=2)
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_payments_asks_a_champion():
    assert "champion" in load_pack("payments").wet.experts
