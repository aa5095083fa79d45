"""What the demo shows while it runs, and what it prints at the end."""

import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from sidechain.agents.cli.chain import account_fields, account_lines
from sidechain.agents.cli.output import say
from sidechain.agents.cli.proofs import proof_fields, proof_lines
from sidechain.agents.demo.play import Report
from sidechain.agents.demo.watch import Watch
from sidechain.models.policy import ACTIONS

PLAIN_EVERY: Final = 5_000  # entries between two lines where there is no terminal
SHOWN: Final = 5


class View:
    """A live table on a terminal, a line now and then elsewhere; a step is always a line."""

    def __init__(self, watch: Callable[[], Watch | None]) -> None:
        self._watch = watch
        self._live: Any = None
        self._told = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), get_renderable=self._table, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def told(self, step: str) -> None:
        """A step of the demo begins."""
        if self._live is not None:
            self._live.console.print(f"· {step}", highlight=False)
        else:
            say(f"· {step}")

    def tick(self) -> None:
        """Something may have changed."""
        watch = self._watch()
        if self._live is None and watch is not None and watch.entries - self._told >= PLAIN_EVERY:
            self._told = watch.entries
            say(f"  {_counts(watch)}")

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        watch = self._watch()
        if watch is None:
            return Text("")
        table = Table(title="sidechain", title_justify="left", show_header=False, expand=False)
        table.add_column(style="cyan", no_wrap=True)
        table.add_column()
        table.add_row("dry", _counts(watch))
        scored = ", ".join(f"{count:,} {state}" for state, count in sorted(watch.scores.items()))
        table.add_row("wet", f"{scored or 'listening'}; {len(watch.compensations):,} compensations")
        for risk in watch.raised:
            table.add_row("raised", f"{risk.key}  {risk.risk_bp}  {risk.rationale}")
        return table


def _counts(watch: Watch) -> str:
    actions = ", ".join(f"{watch.actions[one]:,} {one}" for one in ACTIONS)
    return f"{watch.entries:,} entries: {actions}; {watch.with_signals:,} used a signal"


def fields(report: Report) -> dict[str, Any]:
    """The report for --json: its books and proofs in the form `account`, `verify` and `replay` give them."""
    told = {"accounts", "verified", "checkpoints", "replayed", "budgets"}
    return {
        **msgspec.to_builtins({name: value for name, value in vars(report).items() if name not in told}),
        "accounts": [account_fields(one) for one in report.accounts],
        "budgets": {name: {**one._asdict(), "remaining": one.remaining} for name, one in report.budgets.items()},
        "verified": [proof_fields(one) for one in report.verified],
        "checkpoints": [one._asdict() for one in report.checkpoints],
        "replayed": [proof_fields(one) for one in report.replayed],
    }


def _known_later(report: Report) -> Iterator[str]:
    """Outcomes, accounts and what was learned, where the pack has any."""
    if report.outcomes:
        labels = ", ".join(f"{count:,} {label}" for label, count in sorted(report.settled.items()))
        refused = f"; {report.refused_outcomes:,} outcomes refused" if report.refused_outcomes else ""
        yield f"Settled, as labels became known late: {labels}{refused}"
    for account, one in report.budgets.items():
        owed = f", {one.owed:,} owed" if one.owed else ""
        flying = f", {one.under_way:,} under way" if one.under_way else ""
        balance = f"{one.remaining:,} remain, {one.held:,} are held, {one.spent:,} are spent"
        yield f"  account {account}, in {one.unit}: of {one.given:,} given, {balance}{owed}{flying}"
    if report.budgets:
        yield "  conserved after every entry" if not report.budget_faults else "  NOT CONSERVED"
        yield from (f"    {fault}" for fault in report.budget_faults)
    if report.outcomes and report.signals_used:
        yield "Signals that decisions used"
        yield from (f"  {name:16} {count:>7,}" for name, count in sorted(report.signals_used.items()))
    if report.outcomes or report.budgets:
        yield ""


def summary(report: Report) -> Iterator[str]:
    """The report as a person reads it."""
    yield f"Decided {report.sample:,} events of the sample and {sum(report.planted_actions.values()):,} planted ones"
    for action in ACTIONS:
        yield f"  {action:8} {report.actions[action]:>7,}   planted {report.planted_actions[action]:>5,}"
    yield ""
    yield from _known_later(report)
    yield f"Raised risks: {len(report.raised):,} of {report.keys:,} keys"
    for risk in report.raised[:SHOWN]:
        yield f"  {risk.key}  {risk.risk_bp:>5} {risk.level}: {risk.rationale}"
    for one in report.planted:
        told = f"risk {one.risk.risk_bp}, above {one.above_share:.1%} of all keys" if one.risk else "no risk raised"
        yield f"  planted {one.key}: {told}; {one.compensations} compensations"
    if report.champion is not None:
        said = "`sidechain worker trainer` learns one from outcomes, and a person promotes it"
        yield f"Champion: {report.champion}" + (f"; {said}" if report.champion == "nobody" else "")
    yield f"Compensations: {len(report.compensations):,}"
    for comp in report.compensations[:SHOWN]:
        named = comp.decision
        yield f"  {comp.request} {named.id} (partition {named.partition}, entry {named.seq}, was {named.action})"
    yield f"Decisions that used what the wet side said: {report.with_signals:,}"
    yield f"Decisions that differ from the same policy without signals: {len(report.differences):,}"
    for diff in report.differences[:SHOWN]:
        used = ", ".join(f"{name} {one['value']}" for name, one in diff.signals.items() if "value" in one)
        why = used or "what others had left"
        yield f"  {diff.id}: {diff.action} with {why}, {diff.without_signals} without"
    yield from (f"  not compared: {fault}" for fault in report.not_compared)
    yield ""
    yield "Every event has exactly one entry; rejected = dead letters"
    yield from (f"  {line}" for line in account_lines(report.accounts))
    yield "verify: every seal and link"
    yield from (f"  {line}" for line in proof_lines(report.verified, "ok"))
    yield "checkpoints: signed by a key the root certified; the root's public key is all it takes to check them"
    for signed in report.checkpoints:
        said = signed.fault or f"{signed.size:,} entries, root {signed.root[:16]}, signed by {signed.signed_by}"
        yield f"  partition {signed.partition}  {'ok' if not signed.fault else 'NOT PROVED'}  {said}"
    yield "replay: every decision made again from its input"
    yield from (f"  {line}" for line in proof_lines(report.replayed, "identical"))
