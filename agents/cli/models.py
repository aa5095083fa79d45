"""`sidechain models list|show|propose|promote|retire`: what outcomes taught, and who decides that it is listened to."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.cli.period import duration_ms
from sidechain.agents.cli.proposals import WITHIN, Within
from sidechain.agents.model_files import ModelFiles, kept
from sidechain.agents.problems import UsageProblem
from sidechain.agents.promoted import promote as write
from sidechain.agents.promoted import promoted, promotion
from sidechain.agents.proposals import Proposed, find, now_ms, proposed
from sidechain.agents.proposals import propose as write_proposal
from sidechain.agents.settings import Config
from sidechain.models.proposal import BadProposal, ModelFile, read, sealed
from sidechain.models.wet.promotion import draft_of
from sidechain.topics.human import ModelRecord

By = Annotated[str, typer.Option(help="Who decides this.")]


class Format(StrEnum):
    """Of a card."""

    JSON = "json"
    MARKDOWN = "markdown"


def list_(connection: Connection, json: Json = False) -> None:
    """The models that were proposed, what their trials say, and which of them is champion."""
    settings = connection.settings()
    champion, found = asyncio.run(_known(settings))
    if json:
        emit({"champion": champion, "models": [_summary(one, champion) for one in found]}, json)
        return
    for one in found:
        told = _summary(one, champion)
        mark = "champion" if told["champion"] else told["state"]
        emit(f"{told['model']:24} {mark:10} {told['verdict'] or 'no trial':8} proposal {told['proposal'][:12]}")
    if not found:
        emit("no model was proposed here; `sidechain worker trainer` proposes one that does better")
    if champion is not None and champion.model is None:
        say(f"nobody is champion: {champion.by} retired the last one")


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="The id of its proposal, or the first digits of it.")],
    form: Annotated[Format, typer.Option("--format", help="Of the card.")] = Format.MARKDOWN,
    *,
    connection: Connection,
) -> None:
    """Print the model card that a proposal rests on: data, figures, errors by segment, limits."""
    from sidechain.models.wet.card import encode, markdown

    settings = connection.settings()
    change = _model(asyncio.run(find(settings, name)))
    card = ModelFiles(settings.models_folder).card(change.version, change.digest, change.card)
    emit(encode(card).decode() if form is Format.JSON else markdown(card).removesuffix("\n"))


def propose(
    file: Annotated[Path, typer.Argument(help="The model's file, or its card; the other lies beside it.")],
    by: Annotated[str, typer.Option(help="Who asks for this.")],
    within: Within = WITHIN,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Ask for a model that `sidechain train` wrote to become champion, with the figures of its trial.

    Model and card are copied to the models folder. It changes nothing until somebody else promotes it.
    """
    settings = connection.settings()
    lasts_ms = duration_ms(within, "--within")
    model, card, _ = kept(file)
    pack = settings.loaded_policy.name
    if not card.policy.startswith(f"{pack}@"):
        raise UsageProblem(f"{card.model} was made under policy {card.policy}, and this installation is of pack {pack}")
    try:
        value = sealed(draft_of(card, model.version, pack, now_ms(), by.strip(), lasts_ms))
    except BadProposal as fault:
        raise UsageProblem(f"this is no proposal anybody would take: {fault}") from None
    path, _ = ModelFiles(settings.models_folder).write(model, card)
    offset = asyncio.run(write_proposal(settings, value))
    say(f"{path} and its card are in place; it stands on {settings.topic('human.proposals')} at offset {offset}")
    made = Proposed(read(value), offset, None)
    told = _summary(made, None)
    emit(told if json else f"{told['model']} is proposed as {told['proposal']}", json)


def promote(
    proposal: Annotated[str, typer.Option(metavar="ID", help="The proposal that is followed.")],
    by: By,
    connection: Connection,
    json: Json = False,
) -> None:
    """Put the model of a proposal in the champion's place. The wet worker takes it between two batches.

    Model and card must be in the models folder, and be what the proposal says. Whoever proposed it may not decide it.
    """
    settings = connection.settings()
    if not by.strip():
        raise UsageProblem("--by names the person who decides this; it may not be empty")
    found = asyncio.run(find(settings, proposal))
    record = promotion(found, by.strip(), now_ms())
    change = _model(found)
    files = ModelFiles(settings.models_folder)
    files.model(change.version, change.digest)
    files.card(change.version, change.digest, change.card)
    policy = settings.loaded_policy
    if change.slot not in policy.wet.experts:
        say(f"{policy.ref} does not ask a {change.slot} (`wet.experts`): it scores once a policy that does is there")
    before = asyncio.run(promoted(settings))
    if before is not None and before.digest == record.digest:
        emit(_told(settings, before, None) if json else f"{before.model} is champion already, by {before.by}", json)
        return
    _decide(settings, record, json)


def retire(by: By, connection: Connection, json: Json = False) -> None:
    """Take the champion out of its place; until the next promotion there is none."""
    settings = connection.settings()
    if not by.strip():
        raise UsageProblem("--by names the person who decides this; it may not be empty")
    before = asyncio.run(promoted(settings))
    if before is None or before.model is None:
        emit(_told(settings, before, None) if json else "nobody is champion", json)
        return
    _decide(settings, ModelRecord(model=None, by=by.strip(), at=now_ms()), json)


def _decide(settings: Config, record: ModelRecord, json: bool) -> None:
    offset = asyncio.run(write(settings, record))
    say(f"it stands on {settings.topic('wet.models')} at offset {offset}")
    said = f"{record.model} is champion" if record.model else "nobody is champion"
    emit(_told(settings, record, offset) if json else said, json)


def _told(settings: Config, record: ModelRecord | None, offset: int | None) -> dict[str, Any]:
    told = {} if record is None else msgspec.to_builtins(record)
    return {"topic": settings.topic("wet.models"), "offset": offset, "new": offset is not None, "record": told}


async def _known(settings: Config) -> tuple[ModelRecord | None, list[Proposed]]:
    found, unreadable = await proposed(settings)
    for one in unreadable:
        say(f"what stands at offset {one.offset} is no proposal: {one.why}")
    return await promoted(settings), [one for one in found if isinstance(one.proposal.change, ModelFile)]


def _model(one: Proposed) -> ModelFile:
    if not isinstance(one.proposal.change, ModelFile):
        raise UsageProblem(
            f"proposal {one.proposal.id[:12]} is about {one.proposal.kind} {one.proposal.target}, not about a model"
        )
    return one.proposal.change


def _summary(one: Proposed, champion: ModelRecord | None) -> dict[str, Any]:
    change = _model(one)
    verdicts = [piece.verdict for piece in one.proposal.evidence]
    return {
        "model": change.model,
        "champion": champion is not None and champion.digest == change.digest,
        "state": one.state(now_ms()),
        "verdict": verdicts[0] if verdicts else None,
        "digest": change.digest,
        "card": change.card,
        "labels": change.labels,
        "proposal": one.proposal.id,
    }
