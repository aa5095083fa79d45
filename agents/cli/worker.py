"""`sidechain worker dry|tap|wet|…`: the processes that decide, listen, learn, compare and watch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents.cli.connection import Connection

MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", metavar="PORT", help="Serve /metrics here, on loopback.")
]
Targets = Annotated[
    str | None,
    typer.Option(metavar="PLACES", help="Where workers serve /metrics: ports here, host:port, URLs; commas between."),
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


def aggregator(options: WorkerOptions) -> None:
    """Learn from outcomes what many keys share, such as a place, and tell whoever decides next, until SIGTERM.

    What is learned, the pack says: `signals` with `learn`. One process an installation; a second one takes over.
    """
    _work("aggregator", options)


def drift(metrics_targets: Targets = None, *, options: WorkerOptions) -> None:
    """Say when what comes in, how well it is scored, or a metric is no longer what it was, until SIGTERM.

    Metrics are those written to `metrics`, by your programs or `sidechain metrics send`, and those of the workers
    named. Alerts are all it says. Every start looks back on the last records, and then says what stands.
    """
    _work("drift", options, {"metrics_targets": metrics_targets})


def trainer(options: WorkerOptions) -> None:
    """Learn from outcomes what a champion knows, try it beside the one in place, and ask people, until SIGTERM.

    A model that was better is written to the models folder with its card, and proposed; `sidechain models promote` puts
    it in its place. Nothing changes by itself. One process an installation; it keeps what it knows in that folder.
    """
    _work("trainer", options)


def optimizer(metrics_targets: Targets = None, *, options: WorkerOptions) -> None:
    """Name what holds up the pipeline, from a look at every worker each ten seconds, and propose what would help.

    It changes nothing: `sidechain proposals list` shows what it asks for, and a person does it.
    """
    _work("optimizer", options, {"metrics_targets": metrics_targets})


def sentinel(
    metrics_targets: Targets = None,
    prometheus_url: Annotated[
        str | None, typer.Option("--prometheus-url", metavar="URL", help="Hear what fires there, too.")
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", metavar="URL", help="Tell of incidents there, as Alertmanager does.")
    ] = None,
    *,
    options: WorkerOptions,
) -> None:
    """Put alerts that belong together to incidents, and tell of each once, with where to begin, until SIGTERM.

    It hears `alerts`, what workers show of themselves, and a Prometheus, where these are named. It acts on nothing.
    """
    watching = {"metrics_targets": metrics_targets, "prometheus_url": prometheus_url, "webhook_url": webhook_url}
    _work("sentinel", options, watching)


def shadow(
    candidate: Annotated[
        list[Path], typer.Option(metavar="FILE", help="The pack file of a candidate; repeat for more, up to 8.")
    ],
    value: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The event's int field that is at stake; else the pack's.")
    ] = None,
    *,
    options: WorkerOptions,
) -> None:
    """Decide what is decided once more under candidate policies, and say who would flip, until SIGTERM.

    Nothing of it reaches a decision. It begins with the first entry of every chain, also when it is started again;
    `sidechain shadow show` prints how far it is and what it found.
    """
    _work("shadow", options, candidates=candidate, value=value)


def _work(role: str, options: WorkerOptions, settings: Mapping[str, Any] | None = None, **more: Any) -> None:
    from sidechain.agents import roles
    from sidechain.agents.worker import work

    raise typer.Exit(work(role, partial(getattr(roles, role), **more), options.settings(**(settings or {}))))
