"""Models in a folder: whole or not there, believed by their digest, and proposed with their card."""

import asyncio
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sidechain.agents.model_files import BadModelFile, ModelFiles
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.promoted import promotion
from sidechain.agents.proposals import Proposed
from sidechain.agents.wet.promotions import Promotions
from sidechain.models.proposal import BadProposal, ListRows, ModelFile, read, sealed
from sidechain.models.wet import card as cards
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.card import Card
from sidechain.models.wet.promotion import draft_of
from sidechain.models.wet.training import Challenger, Ended, Request
from sidechain.models.wet.trial import Judged, Thresholds, Trial
from sidechain.topics.human import ModelRecord
from tests.experts import NAMES, grown, world

NOW = 808_000_000_000


@pytest.fixture(scope="module")
def model() -> Boosted:
    return grown(NAMES, 1).model


@pytest.fixture(scope="module")
def card(model: Boosted) -> Card:
    """Of a trial beside the rules."""
    batch, is_bad = world(5, 600)
    rows = np.array(batch.rows, dtype=np.float32)
    trial = Trial(None, model.name, Thresholds(labels=500, bad=20))
    trial.add(Judged(np.arange(600), is_bad, np.full(600, 0.5), model.score(batch.rows), np.empty((600, 0))))
    asked = Request(rows, is_bad, NAMES, seed=2, version=1, earliest=0, latest=599, until=700)
    data = cards.data_of(asked, {"wet.taps": {"0": (0, 599)}}, forgotten=0)
    ended = Ended(Challenger(model, asked, None), trial)
    return cards.card_of(ended, data, policy="doors@1:000000000000", made=NOW, parameters={}, libraries={})


def proposed(model: Boosted, card: Card) -> Proposed:
    return Proposed(read(sealed(draft_of(card, model.version, "doors", NOW))), 0, None)


def test_what_is_written_is_what_is_read(tmp_path: Path, model: Boosted, card: Card) -> None:
    """Twice is no harm; nothing but the two files is left."""
    files = ModelFiles(tmp_path / "models")
    assert list(files.versions()) == []
    for _ in range(2):
        path, digest = files.write(model, card)
    assert sorted(one.name for one in files.folder.iterdir()) == [path.with_suffix(".json").name, path.name]
    assert files.model(1, model.digest).name == model.name
    assert files.card(1, model.digest, digest) == card
    assert sha256(path.read_bytes()).hexdigest() == model.digest
    assert list(files.versions()) == [1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "is not there; copy it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "it was changed"),
        (lambda path: path.write_bytes(b""), "it was changed"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
    ids=["gone", "flipped", "empty", "a folder"],
)
def test_a_file_that_is_not_what_was_agreed_to_is_refused(
    tmp_path: Path, model: Boosted, card: Card, spoil, said: str
) -> None:
    """The model and the card alike, with a sentence that says what to do."""
    files = ModelFiles(tmp_path)
    path, digest = files.write(model, card)
    spoil(path)
    spoil(path.with_suffix(".json"))
    with pytest.raises(BadModelFile, match=said):
        files.model(1, model.digest)
    with pytest.raises(BadModelFile, match=said):
        files.card(1, model.digest, digest)


def test_a_folder_that_cannot_be_written_is_said_to_be_one(tmp_path: Path, model: Boosted, card: Card) -> None:
    """A file stands where it should be."""
    (tmp_path / "models").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        ModelFiles(tmp_path / "models").write(model, card)


def test_a_proposal_names_model_and_card_by_their_digests(model: Boosted, card: Card) -> None:
    """Its evidence is the trial, so that it says the same when the card is lost."""
    one = proposed(model, card).proposal
    assert (one.kind, one.target, one.author) == ("model", model.name, "trainer")
    assert isinstance(one.change, ModelFile)
    assert (one.change.digest, one.change.card) == (model.digest, sha256(cards.encode(card)).hexdigest())
    [piece] = one.evidence
    assert (piece.kind, piece.verdict) == ("trial", "PROMOTE")
    assert piece.figures["after"] == msgspec.to_builtins(card.trial.after)
    draft = draft_of(card, model.version, "doors", NOW)
    other = msgspec.structs.replace(draft, change=msgspec.structs.replace(one.change, digest="0" * 64))
    with pytest.raises(BadProposal, match="is not the name of a model"):
        sealed(other)


def test_a_promotion_is_what_the_proposal_asks_for_and_who_decided_it(model: Boosted, card: Card) -> None:
    """Digests, labels and the time its outcomes reach to."""
    one = proposed(model, card)
    record = promotion(one, "anna", NOW + 1)
    assert (record.model, record.digest, record.by, record.proposal) == (
        model.name,
        model.digest,
        "anna",
        one.proposal.id,
    )
    assert (record.labels, record.until, record.version) == (600, 700, 1)


@pytest.mark.parametrize(
    ("by", "later_ms", "said"),
    [
        ("trainer", 1, "somebody else decides it"),
        ("anna", 14 * 86_400_000, "has expired"),
    ],
)
def test_what_is_no_ground_for_a_promotion_is_refused(
    model: Boosted, card: Card, by: str, later_ms: int, said: str
) -> None:
    """Nobody decides what they asked for, and nothing for ever."""
    with pytest.raises(UsageProblem, match=said):
        promotion(proposed(model, card), by, NOW + later_ms)


@pytest.mark.parametrize("known", [NAMES, NAMES[:3]], ids=["all", "one less"])
def test_nobody_is_champion_until_the_file_is_there_and_its_features_are(
    tmp_path: Path, model: Boosted, card: Card, known: tuple[str, ...]
) -> None:
    """It is looked for again, and said once; a pack that lacks what a model reads never gets it."""
    files, told = ModelFiles(tmp_path), []
    follower = Promotions(lambda one, _: told.append(one and one.model.name), files, {}, "wet.models", known)
    record = promotion(proposed(model, card), "anna", NOW + 1)
    for _ in range(3):
        asyncio.run(follower._place(record))
    assert told == [None]
    files.write(model, card)
    asyncio.run(follower._place(record))
    assert told == ([None, model.name] if known == NAMES else [None])
    asyncio.run(follower._place(ModelRecord(model=None, by="anna", at=NOW)))
    assert told[-1] is None
    assert follower.seen == {"taken": int(known == NAMES), "retired": 1, "refused": 3 + (known != NAMES)}


def test_a_proposal_about_something_else_promotes_nobody(model: Boosted, card: Card) -> None:
    """A list has no place in a panel."""
    one = proposed(model, card)
    rows = ListRows(list="lost@1:aaaaaaaaaaaa", replaces=None, digest="a" * 64, rows=1, words=())
    about = replace(one, proposal=msgspec.structs.replace(one.proposal, change=rows, evidence=()))
    with pytest.raises(UsageProblem, match="is about list lost@1:aaaaaaaaaaaa, not about a model"):
        promotion(about, "anna", NOW)
