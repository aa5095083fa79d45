"""Payments through the whole system: late outcomes, budgets, two lists, two changes of policy; then all of it proved.

    python -m tests.bench.payments_run ../shared/data/fraud_handbook_2018-04_07.csv.gz
    python -m tests.bench.payments_run FILE… --rows 100000 --beside tap,aggregator --report payments-run.md --json

A broker of its own and a worker with four partitions decide the rows of the Fraud Detection Handbook's stream, keyed by
customer, in the order of their time. One payment in ten is charged a day later, and whether it was good or bad is known
seven days later, in event time: the sender stays half a second ahead of the chains, so that the run is as fast as the
lane and nothing is told before its time. A fifth of the way on the first versions of both lists are activated, then a
threshold is changed, then other versions of the lists, then a rule is added. One label in 1,000 is sent twice, one to
another partition than it names. `--beside`: other workers that run along, `tap,aggregator` so that the history of
terminals is known; the sender waits for the aggregator as it does for the chains.

Behind it `verify`, `account` and `replay` read the topics, beside an export that is reported on, recomputed by
`tests/dumb_report.py`, back-tested with both changes and read once more against the rows. Exit 1: something is not as
it should be, and the report says what; 3: there are no such rows here. All 1,169,723 take about 12 GB in the temporary
folder and 8 GB of memory. Ctrl-C ends everything that was started.
"""

import argparse
import asyncio
import gzip
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.agents.activate import activate
from sidechain.agents.activate_list import activate_list, activations
from sidechain.agents.admin import ensure
from sidechain.agents.bench.place import Place, machine, place
from sidechain.agents.child import Child
from sidechain.agents.own_keys import own_keys
from sidechain.agents.problems import EnvironmentProblem, Problem, UsageProblem
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy
from tests.bench import payments_changes as changes
from tests.bench.paced import Paced, Record
from tests.bench.payments_page import page
from tests.bench.payments_proofs import Proofs
from tests.bench.payments_rows import Payment, Step, payments, steps

LEAD: Final = 8_000  # inputs ahead of the chains: about half a second
STEP: Final = 1_000
ODD_EVERY, TWICE_AT, ASTRAY_AT = 1_000, 500, 750
TOLD: Final = 20  # lines of progress while sending ...
QUIET_S: Final = 60.0  # ... and one at least in so many seconds
AP_LEAST: Final = 0.30
WORKER: Final = ("-m", "sidechain.agents", "worker")

Told = Callable[[str], None]


class Change(NamedTuple):
    """Something activated while payments flow."""

    what: str
    at: int  # payments sent before it
    entries: int  # that each chain will have of it
    do: Callable[[Config], Awaitable[None]]


class Sent(NamedTuple):
    """What went in."""

    payments: int
    charges: int
    labels: int
    twice: int  # of these
    astray: int  # of these
    seconds: float  # until all of it had its entry

    @property
    def figures(self) -> dict[str, Any]:
        """For the report."""
        every = self.payments + self.charges + self.labels + self.twice + self.astray
        return {
            **self._asdict(),
            "seconds": round(self.seconds, 1),
            "payments_per_s": round(self.payments / self.seconds),
            "inputs_per_s": round(every / self.seconds),
        }


async def run(
    here: Place, found: Sequence[Payment], told: Told, *, beside: Sequence[str] = (), lead: int = LEAD, step: int = STEP
) -> dict[str, Any]:
    """Decide them all and prove it; the figures as they are reported. `lead`, `step`: of the sender."""
    first = load_pack("payments")
    policies = [first, second := changes.threshold(first), changes.rule(second)]
    newer = [one for version in (1, 2) for one in changes.lists(first, found, version)]
    keys = own_keys(here.folder, here.config().topic_prefix[:-1])
    settings = keys.settings
    config = here.config(**settings)
    await ensure(config)
    with here.process("dry", (*WORKER, "dry"), **settings) as worker:
        others = [Companion(here, role, settings) for role in beside]
        try:
            planned = plan(policies, newer, len(found))
            with_cases = "aggregator" in beside
            sender = Paced(config, lead, lambda: _check([worker, *others]), with_cases=with_cases)
            sent = await _send(sender, config, found, planned, told, step)
            told(f"{len(found):,} payments and what became of them decided in {sent.seconds:,.1f} s; now the proofs")
        finally:
            for one in others:
                one.end()
        if code := worker.stop():
            raise EnvironmentProblem(f"the worker ended with exit code {code}:\n{worker.said()[-2_000:]}")
    proofs = Proofs(here, settings, keys.root_folder, policies, newer, found, told)
    checks = await proofs.all(_expected(sent, config.partitions, policies, newer))
    return {
        "well": all(one["ok"] for one in checks),
        "machine": machine(),
        "policies": [one.ref for one in policies],
        "partitions": config.partitions,
        "beside": list(beside),
        "lists": [f"{one.name}@{one.version}" for one in newer],
        "changes": [{"what": one.what, "behind_payments": one.at} for one in planned],
        "sent": sent.figures,
        "checks": checks,
        **proofs.figures,
    }


class Companion(Child):
    """Another worker, until `end`."""

    def __init__(self, here: Place, role: str, settings: dict[str, str]) -> None:
        super().__init__(role, (*WORKER, role), here.folder / f"{role}.log", here.environ(**settings))

    def end(self) -> None:
        """Tell it to stop; how it does is not what is asked here."""
        self.stop()


def _check(workers: Sequence[Child]) -> None:
    for one in workers:
        one.check()


def plan(policies: Sequence[Policy], newer: Sequence[changes.NewList], count: int) -> list[Change]:
    """Lists, the threshold, lists, the rule: each a fifth of the way behind the one before."""

    def policy(wanted: Policy) -> Callable[[Config], Awaitable[None]]:
        async def do(config: Config) -> None:
            await activate(config, wanted, changes.BY)

        return do

    def lists(wanted: Sequence[changes.NewList]) -> Callable[[Config], Awaitable[None]]:
        async def do(config: Config) -> None:
            for one in wanted:
                there = await activations(config, "payments")
                named = (one.name, one.version, changes.BY, one.text)
                await activate_list(config, "payments", *named, there, lambda _rows: None)

        return do

    half = len(newer) // 2
    return [
        Change("the first versions of both lists", count // 5, half, lists(newer[:half])),
        Change("a threshold: " + policies[1].ref, 2 * count // 5, 1, policy(policies[1])),
        Change("other versions of both lists", 3 * count // 5, half, lists(newer[half:])),
        Change("a rule: " + policies[2].ref, 4 * count // 5, 1, policy(policies[2])),
    ]


async def _send(
    paced: Paced, config: Config, found: Sequence[Payment], planned: Sequence[Change], told: Told, step: int
) -> Sent:
    """Everything, in its order; returns when all of it has its entry."""
    waiting, paid, charged, known, told_paid = list(planned), 0, 0, 0, 0
    began = told_at = time.monotonic()
    every = max(1, len(found) // TOLD)
    async with paced as sender:
        for one in steps(found, step):
            while waiting and paid >= waiting[0].at:
                change = waiting.pop(0)
                await change.do(config)
                sender.chains.due += change.entries * config.partitions
                told(f"behind {paid:,} payments: {change.what}")
            await sender.send("events", [sender.record(it.customer, it.event) for it in one.payments])
            charges, (labels, entries) = _charges(sender, one, charged), _labels(sender, one, known)
            await sender.send("outcomes", [*charges, *labels])
            sender.chains.due += len(one.payments) + len(charges) + entries
            sender.cases.due += len(one.payments) + len(one.labelled)
            paid, charged, known = paid + len(one.payments), charged + len(charges), known + len(one.labelled)
            await sender.wait()
            now = time.monotonic()
            if paid - told_paid >= every or now - told_at >= QUIET_S:
                per_s = (paid - told_paid) / (now - told_at)
                told_at, told_paid = now, paid
                told(f"{paid:,} of {len(found):,} payments, {known:,} labels, {per_s:,.0f} payments/s")
        await sender.wait(0)
    twice, astray = (sum(number % ODD_EVERY == at for number in range(known)) for at in (TWICE_AT, ASTRAY_AT))
    return Sent(paid, charged, known, twice, astray, time.monotonic() - began)


def _charges(sender: Paced, step: Step, first: int) -> list[Record]:
    """What the charged payments of a step cost. `first`: charges before them."""
    return [
        sender.record(one.customer, one.charge(one.amount_minor // 10 if number % 2 else 0))
        for number, one in enumerate(step.charged, first)
    ]


def _labels(sender: Paced, step: Step, first: int) -> tuple[list[Record], int]:
    """What the payments of a step were, and how many entries that comes to. `first`: labels before them."""
    records, entries = [], 0
    for number, one in enumerate(step.labelled, first):
        if number % ODD_EVERY == ASTRAY_AT:
            right = sender.partition_of(one.customer.encode())
            records.append(sender.record(one.customer, one.label(right), shift=1))
            entries += 2  # refused there, and forwarded
            continue
        times = 2 if number % ODD_EVERY == TWICE_AT else 1
        records += [sender.record(one.customer, one.label())] * times
        entries += times
    return records, entries


def _expected(
    sent: Sent, partitions: int, policies: Sequence[Policy], newer: Sequence[changes.NewList]
) -> dict[str, dict[str, int]]:
    refused = {"already-settled": sent.twice, "wrong-partition": sent.astray}
    kinds = {
        "decision": sent.payments,
        "settlement": sent.charges + sent.labels,
        "refused-outcome": sent.twice + sent.astray,
        "policy": partitions * (len(policies) - 1),
        "list": partitions * len(newer),
    }
    return {
        "entries": {name: count for name, count in sorted(kinds.items()) if count},
        "refused_outcomes": {name: count for name, count in refused.items() if count},
    }


def read_rows(files: Sequence[Path], limit: int | None) -> Iterator[Payment]:
    """The payments of all files, one after the other; those that are packed are unpacked."""
    policy = load_pack("payments")
    return islice(chain.from_iterable(payments(policy, _lines(one)) for one in files), limit)


def _lines(file: Path) -> Iterator[bytes]:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        yield from stream


async def _main(found: Sequence[Payment], beside: Sequence[str]) -> Any:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    say("starting a broker")
    async with place("payments") as here:
        return await run(here, found, say, beside=beside)


def say(text: str) -> None:
    """To whoever waits."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _asked() -> argparse.Namespace:
    asks = argparse.ArgumentParser(prog="python -m tests.bench.payments_run", description=__doc__.splitlines()[0])
    asks.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="rows of the Handbook's stream, CSV, also .gz"
    )
    asks.add_argument("--rows", type=int, help="the first so many rows only")
    asks.add_argument("--beside", default="", metavar="ROLE,…", help="workers that run along: tap,aggregator")
    asks.add_argument("--report", type=Path, metavar="FILE", help="write the page for people there as well")
    asks.add_argument("--json", action="store_true", help="print the figures as JSON instead of the page")
    return asks.parse_args()


def main() -> int:
    """0: all is as it should be. 1: something is not. 2: bad input. 3: no rows or no broker here. 130: interrupted."""
    asked = _asked()
    if absent := [str(one) for one in asked.files if not one.exists()]:
        say(f"SKIPPED, nothing was run: {', '.join(absent)} is not here. The Handbook's stream names no licence, so it")
        say("is not part of this project: its authors publish the simulator, and `sidechain generate` makes the like")
        return EnvironmentProblem.exit_code
    try:
        say("reading the rows")
        found = list(read_rows(asked.files, asked.rows))
        if not found:
            raise UsageProblem("there is no row")
        say(f"{len(found):,} payments, {sum(one.is_bad for one in found):,} of them bad")
        told = asyncio.run(_main(found, [one for one in asked.beside.split(",") if one]))
    except Problem as problem:
        say(str(problem))
        return problem.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted; what was started is ended")
        return 130
    if asked.rows is None:
        ap = told["ranked"]["all"]["average_precision"]
        told["checks"].append({"check": f"average precision is at least {AP_LEAST}", "ok": ap >= AP_LEAST, "said": ap})
        told["well"] = told["well"] and ap >= AP_LEAST
    told = {"command": "python -m tests.bench." + " ".join(["payments_run", *map(str, sys.argv[1:])]), **told}
    if asked.report:
        asked.report.write_text(page(told), encoding="utf-8")
    print(msgspec.json.encode(told).decode() if asked.json else page(told))
    return 0 if told["well"] else 1


if __name__ == "__main__":
    sys.exit(main())
