"""`sidechain worker dry|tap|wet`: the processes that decide, listen and learn."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sidechain.agents.cli.connection import Connection

MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", metavar="PORT", help="Serve /metrics here, on loopback.")
]
KeyFile = Annotated[
    str | None, typer.Option("--pseudonym-key-file", metavar="FILE", help="The secret pseudonyms are made with.")
]


@dataclass(frozen=True)
class WorkerOptions(Connection):
    """The options of every worker."""

    metrics_port: MetricsPort = None
    pseudonym_key_file: KeyFile = None


def dry(options: WorkerOptions) -> None:
    """Decide: events in, sealed decisions out, exactly once, until SIGTERM.

    Workers of one prefix share its partitions. The policy given is the one a chain begins under; afterwards policies
    change through `control` only.
    """
    _work("dry", options)


def tap(options: WorkerOptions) -> None:
    """Copy what was decided to the wet side, without what names anybody, until SIGTERM."""
    _work("tap", options)


def wet(options: WorkerOptions) -> None:
    """Score what was tapped and advise the next decision, until SIGTERM. It never blocks one."""
    _work("wet", options)


def _work(role: str, options: WorkerOptions) -> None:
    from sidechain.agents import roles
    from sidechain.agents.worker import work

    raise typer.Exit(work(role, getattr(roles, role), options.settings()))
