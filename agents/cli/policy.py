"""`sidechain policy check|test|show`: a pack seen by its author, before it decides anything."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents.cli.connection import Cluster
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.cli.policies import Pack, policy_of
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.settings import Config
from sidechain.models.pack_cases import CaseResult, run_cases, untested
from sidechain.models.pack_file import load_file
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Feature, Policy

File = Annotated[Path | None, typer.Argument(help="A pack file of your own.")]


def check(file: File = None, pack: Pack = None, *, cluster: Cluster, json: Json = False) -> None:
    """Type-check a pack; every mistake comes with its line and column.

    With --bootstrap also which of its lists are in force there with other types, so that it would find them unknown.
    """
    if file is not None and not file.is_file():
        raise UsageProblem(f"{file} is no file")
    try:
        policy = load_file(file) if file is not None and pack is None else policy_of(pack, file)
    except PackError as error:
        if json:
            emit({"ok": False, "problems": [asdict(one) for one in error.problems]}, json)
        else:
            say(str(error))
        count = len(error.problems)
        raise AnswerIsNo(f"the pack is refused for {'one mistake' if count == 1 else f'{count} mistakes'}") from None
    counts = {
        "rules": len(policy.rules),
        "features": len(policy.features),
        "typologies": len(policy.typologies),
        "sources": len(policy.sources),
    }
    told: dict[str, Any] = {}
    if cluster.bootstrap is not None:
        told["unknown_lists"] = _unknown_lists(cluster.settings(policy=file, pack=pack), policy)
    if json:
        emit({"ok": True, "policy": policy.ref, "digest": policy.digest, **counts, **told}, json)
        return
    emit(f"{policy.ref}: ok, " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for one in told.get("unknown_lists", ()):
        emit(str(one))


def _unknown_lists(settings: Config, policy: Policy) -> list[Any]:
    from sidechain.agents.activate_list import lists_unlike  # Kafka's client is not loaded to look at a file

    return list(asyncio.run(lists_unlike(settings, policy)))


def ask_cases(file: File = None, pack: Pack = None, json: Json = False) -> None:
    """Ask every rule about its own cases."""
    policy = policy_of(pack, file)
    results = list(run_cases(policy))
    failed = [one for one in results if not one.passed]
    lacking = untested(policy)
    if json:
        shown = [
            {"rule": one.rule.id, "line": one.case.line, "fires": one.case.fires, "got": one.got} for one in failed
        ]
        lacks = [{"rule": rule, "lacks": what} for rule, what in lacking]
        emit({"ok": not failed, "cases": len(results), "failed": shown, "untested": lacks}, json)
    else:
        for one in failed:
            emit(_failure(one))
        for rule, what in lacking:
            say(f"rule {rule} has no {what} case")
        emit(f"{policy.ref}: {len(results) - len(failed)} of {len(results)} cases passed")
    if failed:
        raise AnswerIsNo(f"{len(failed)} of {len(results)} cases failed")


def show(file: File = None, pack: Pack = None, json: Json = False) -> None:
    """Print what a pack says, for a reader who does not know YAML or CEL."""
    policy = policy_of(pack, file)
    emit(_summary(policy) if json else "\n".join(_described(policy)), json)


def _failure(result: CaseResult) -> str:
    given = ", ".join(f"{name}: {value!r}" for name, value in result.case.values.items()) or "nothing known"
    expected = "fire" if result.case.fires else "stay silent"
    got = {True: "true", False: "false", None: "unknown"}[result.got]
    return (
        f"rule {result.rule.id}, case on line {result.case.line}: should {expected}, "
        f"and its condition is {got} for {given}"
    )


def _described(policy: Policy) -> Iterator[str]:
    yield f"{policy.title or policy.name} ({policy.ref})"
    yield ""
    yield "Event"
    for field in policy.event.fields:
        marks = [one for one, on in (("optional", field.optional), ("personal", field.personal)) if on]
        notes = ", ".join([field.type, *([field.role] if field.role else []), *marks])
        yield f"  {field.name:28} {notes:26} {field.title}".rstrip()
    yield ""
    yield "Features"
    for feature in policy.features:
        yield f"  {feature.name:28} {_feature(feature):26} {feature.title}".rstrip()
    if policy.lists:
        yield ""
        yield "Lists, activated apart"
    for one in policy.lists:
        rows = f"{one.key_type} to {one.value_type}" if one.value_type else one.key_type
        default = "" if one.default is None else f"{one.default!r} without a row"
        yield f"  {one.name:28} {rows:26} {', '.join(filter(None, (one.title, default)))}".rstrip()
    yield ""
    yield "Rules, strictest demand wins"
    for rule in policy.rules:
        yield f"  {rule.id:28} {rule.then:8} {rule.points_bp:5} points  {rule.reason}"
        yield f"  {'':28} when {' '.join(rule.when.source.split())}"
    for typology in policy.typologies:
        weights = ", ".join(f"{name} {weight}" for name, weight in typology.weights.items())
        block = f", block at {typology.block_at}" if typology.block_at is not None else ""
        yield ""
        yield f"Typology {typology.id}: {typology.title} (review at {typology.review_at}{block})"
        yield f"  {weights}"
    trust = policy.trust
    yield ""
    yield f"Trust: block up to {trust.block_bp}, review up to {trust.review_bp}, monitor up to {trust.monitor_bp}"
    for name, asked in (("alignment", trust.alignment), ("risk", trust.risk), ("band", trust.band)):
        yield f"  {name:10} {' '.join(asked.value.source.split())}  (unknown: {asked.unknown_bp})"


def _feature(feature: Feature) -> str:
    if not feature.window_ms:
        return feature.aggregate
    seconds, rest = divmod(feature.window_ms, 1_000)
    window = f"{feature.window_ms}ms" if rest else f"{seconds}s"
    return f"{feature.aggregate} over {window}" + (" (partition)" if feature.scope == "partition" else "")


def _summary(policy: Policy) -> dict[str, Any]:
    return {
        "policy": policy.ref,
        "digest": policy.digest,
        "title": policy.title,
        "fields": [
            {"name": one.name, "type": one.type, "role": one.role, "optional": one.optional, "personal": one.personal}
            for one in policy.event.fields
        ],
        "features": [
            {"name": one.name, "aggregate": one.aggregate, "window_ms": one.window_ms, "scope": one.scope}
            for one in policy.features
        ],
        "signals": [one.name for one in policy.signals],
        "lists": [
            {"name": one.name, "type": one.key_type, "value": one.value_type, "default": one.default}
            for one in policy.lists
        ],
        "rules": [
            {"id": one.id, "when": one.when.source, "then": one.then, "points_bp": one.points_bp, "reason": one.reason}
            for one in policy.rules
        ],
        "typologies": [
            {"id": one.id, "weights": dict(one.weights), "review_at": one.review_at, "block_at": one.block_at}
            for one in policy.typologies
        ],
        "sources": [{"name": one.name, "format": one.format} for one in policy.sources],
    }
