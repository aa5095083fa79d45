"""`sidechain train`: a champion from what was exported, with its trial and its card, and no broker."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from sidechain.agents.bundle import Bundle
from sidechain.agents.cli.connection import ExportFolder
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import PolicyNamed
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem, UsageProblem
from sidechain.agents.verify_files import STDIN, partition_of

if TYPE_CHECKING:
    from sidechain.agents.wet.edge_trainer import Beside, Trained
    from sidechain.models.wet.trial import Figures

CHAMPION = "champion"


def train(
    named: PolicyNamed,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model and its card are written.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Entries, settlements among them: a partition each.")
    ] = None,
    bundle: ExportFolder = None,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The champion's model, its card beside it: the trial is held against it."),
    ] = None,
    trial: Annotated[
        float,
        typer.Option(min=0.01, max=0.9, help="The share of the outcomes, the newest, that is kept for the trial."),
    ] = 0.2,
    json: Json = False,
) -> None:
    """Learn a champion from decisions and their outcomes, and try it on later ones. Exit 1 when it is no better.

    The model, trial, card and verdict of a trainer (`sidechain worker trainer`), from files: what `sidechain export`
    wrote, or what `sidechain decide --outcomes` printed. It is held against the rules' own score, or with --beside
    against the champion. The same files give the same bytes. `sidechain models propose` asks people for it.
    """
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("training needs numpy and scikit-learn: pip install 'sidechain[wet]'")
    from sidechain.agents.model_files import ModelFiles
    from sidechain.agents.wet.edge_trainer import Bounds, trained

    policy = named.named_policy()
    if CHAMPION not in policy.wet.experts:
        raise UsageProblem(
            f"policy {policy.ref} asks no champion: add `champion` to the `experts` of its wet section; nobody else "
            "would listen to what is learned here"
        )
    chains = _chains(files or (), bundle)
    held = _beside(beside) if beside is not None else None
    with Progress("entries read (twice)") as progress:
        found = trained(policy, chains, progress.advance, say, beside=held, bounds=Bounds(trial=trial))
    if found.unreadable:
        say(f"{found.unreadable:,} lines are no entries that this release reads; they were passed over")
    is_better = found.ended.trial.is_better()
    path = ModelFiles(out).write(found.ended.challenger.model, found.card)[0] if is_better else None
    emit(_fields(found, path) if json else "\n".join(_lines(found, path)), json)
    if not is_better:
        raise AnswerIsNo(f"{found.card.model} is not better by what is asked for, and nothing was written")


def _chains(files: Sequence[Path], bundle: Path | None) -> dict[int, Path]:
    """The files of entries, by partition. Raises `UsageProblem`."""
    if bool(files) == (bundle is not None):
        raise UsageProblem("name the folder of an export (--export DIR) or files of entries, one of the two")
    if bundle is not None:
        return Bundle(bundle).files("decisions")
    if STDIN in files:
        raise UsageProblem("entries are read twice, and standard input can be read once only: name a file")
    found: dict[int, Path] = {}
    for one in files:
        if (other := found.setdefault(partition_of(one), one)) is not one:
            raise UsageProblem(f"{other} and {one} are both of partition {partition_of(one)}")
    return found


def _beside(file: Path) -> "Beside":
    """The champion in a file, and what its card says it knew. Raises as `kept` does."""
    from sidechain.agents.model_files import kept
    from sidechain.agents.wet.edge_trainer import Beside

    model, card, _ = kept(file)
    return Beside(model, card.data.until)


def _fields(found: "Trained", path: Path | None) -> dict[str, object]:
    card = found.card
    return {
        "model": card.model,
        "better": path is not None,
        "file": None if path is None else str(path),
        "card": None if path is None else str(path.with_suffix(".json")),
        "digest": card.digest,
        "verdict": card.trial.verdict,
        "why": card.trial.why,
        "beside": card.trial.beside,
        "trial": msgspec.to_builtins(card.trial),
        "data": msgspec.to_builtins(card.data),
        "unreadable": found.unreadable,
    }


def _lines(found: "Trained", path: Path | None) -> Iterator[str]:
    """The verdict first."""
    card = found.card
    yield f"{card.trial.verdict}: {'; '.join(card.trial.why)}"
    yield f"{card.model}, fitted to {card.data.rows:,} outcomes, {card.data.bad:,} of them bad"
    yield f"tried on {card.trial.after.rows:,} decisions after those, {card.trial.after.bad:,} of them bad"
    yield f"{'':24}{'AP':>8}{'AUROC':>8}"
    yield _row(card.trial.beside, card.trial.before)
    yield _row(card.model, card.trial.after)
    if path is not None:
        yield f"model {path}"
        yield f"card  {path.with_suffix('.json')}"


def _row(name: str, said: "Figures") -> str:
    both = (said.average_precision, said.auroc)
    return f"{name:24}" + "".join(f"{'-' if one is None else format(one, '.4f'):>8}" for one in both)
