"""`sidechain score`: the panel alone, no broker: how unusual each event is, and why."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sidechain.agents.cli.decide import blocks, reading, sealed_lines
from sidechain.agents.cli.output import Json, say
from sidechain.agents.cli.policies import ListFiles, PolicyNamed, lists_of
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.pseudonym import read_secret
from sidechain.agents.verify_files import lines_of
from sidechain.models.decider import Decider
from sidechain.models.interleaved import Outcomes
from sidechain.topics.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedReader

    from sidechain.topics.wet import Score


def score(
    named: PolicyNamed,
    learn: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Events that pass before, to be learned from.")
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="What became of them: each is taken before the first event later than it.")
    ] = None,
    above: Annotated[float, typer.Option(min=0.0, max=1.0, help="Print these scores alone, and higher ones.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Events scored together; the next ones know of them.")] = 500,
    pseudonym_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The secret of pseudonyms; without one names stay as they are.")
    ] = None,
    lists: ListFiles = None,
    json: Json = False,
    events: Annotated[Path | None, typer.Argument(help="A file of events; standard input when absent or -.")] = None,
) -> None:
    """Decide events (one JSON object a line) and say how unusual each decision is, and why.

    The decisions are those of `sidechain decide`, and nothing said here changes one. With --json the records are those
    of wet.scores. The first events of a pack's `warmup` have no score yet, unless --learn names others to learn from;
    with --outcomes, of either, scores are calibrated and similar cases are cited. The same input gives the same scores.
    """
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("scoring needs numpy and scikit-learn: pip install 'sidechain[wet]'")
    from sidechain.agents.wet.edge import Edge

    policy = named.named_policy()
    if not policy.wet.vector:
        raise UsageProblem(f"policy {policy.ref} names no features to score: give its wet section a vector")
    edge = Edge(policy, read_secret(pseudonym_key_file) if pseudonym_key_file else None, batch)
    decider = Decider(policy, lists=lists_of(policy, lists))
    waiting = Outcomes(lines_of(outcomes) if outcomes else (), policy.event.role("time").name)
    if learn is not None:
        for sealed in sealed_lines(decider, blocks(reading(learn)), waiting, rest=False):
            edge.learn(sealed)
        edge.learn_rest()
    source = cast("BufferedReader", sys.stdin.buffer) if events is None or str(events) == "-" else reading(events)
    rejected = warming = 0
    for sealed in sealed_lines(decider, blocks(source), waiting):
        rejected += len(decider.dead_letters)
        warming += _tell(edge.scores(sealed), above, json=json)
    warming += _tell(edge.rest(), above, json=json)
    if rejected:
        say(f"{rejected} events or outcomes could not be read; `sidechain decide --dead-letters FILE` keeps them")
    if warming:
        say(f"{warming} decisions have no score: too little had passed; --learn FILE passes events before")


def _tell(scores: "Iterable[Score]", above: float, *, json: bool) -> int:
    """Print them; how many there are without a score."""
    without, lines = 0, []
    for one in scores:
        without += one.score is None
        if above == 0.0 or (one.score is not None and one.score >= above):
            lines.append(encode(one) if json else _line(one).encode())
    if lines:
        sys.stdout.buffer.write(b"\n".join([*lines, b""]))
        sys.stdout.buffer.flush()
    return without


def _line(one: "Score") -> str:
    """`0.987   41.0%  door-3  retrieval  similar to 7 confirmed cases …`: rank, probability, event, expert, why."""
    if one.score is None:
        return f"    -       -  {one.id}  -  {one.rationale}"
    likely = "      -" if one.probability is None else f"{one.probability:7.1%}"
    return f"{one.score:.3f} {likely}  {one.id}  {one.expert}  {one.rationale}"
