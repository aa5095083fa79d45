"""The installation under test: our own workers, each in a process of the machine, and what they decide under."""

import asyncio
import zlib
from collections.abc import Sequence
from contextvars import Context
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from sidechain.agents.checkpoints import Keys
from sidechain.agents.dry.worker import DryWorker
from sidechain.agents.lane import inputs, log_ends, signals
from sidechain.agents.metrics import DryMetrics, TapMetrics, WetMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.settings import Config
from sidechain.agents.tap import TapWorker
from sidechain.agents.wet import anomaly
from sidechain.agents.wet import worker as wet_worker
from sidechain.models.dry import fold
from sidechain.models.policy import Policy, Signal, Wet
from sidechain.models.proof.certificate import parse
from sidechain.topics.catalog import catalog
from sidechain.topics.wet import Score, Tap
from tests.proofs import OLD, ROOT, certificate
from tests.simulation.app import App
from tests.simulation.cluster import Cluster
from tests.simulation.machine import PROCESS, Machine, Process
from tests.simulation.wire import Wire
from tests.support import feature, loader, policy, rule, trust

RESTART_S: Final = 0.5
SIGNALS: Final = (Signal(name="risk", max_age_ms=3_600_000),)
WET: Final = Wet(vector=("n_1m",), critical_at_bp=8_500, compensations_per_minute=600)
GATE: Final = trust(risk="score_bp")


BUDGETS: Final = """
timeout: 2m
cost_unit: EUR
accounts:
  - {name: all_hour, unit: EUR, period: 1h, limit: 90}
  - {name: host_minute, unit: EUR, period: 1m, per: event.host, limit: 12, parent: all_hour}
reserve:
  - {account: host_minute, amount: event.n, then: flag}
"""


def _version(number: int, **more: Any) -> Any:
    made = policy(
        name="sim",
        version=number,
        signals=SIGNALS,
        gate=GATE,
        budgets=more.get("budgets", BUDGETS.replace("limit: 12", f"limit: {12 * number}")),
        duplicate_horizon=64,
        max_keys=4,
        rules=[
            rule("many", f"features.n_1m > {6 * number}", "review", 3_000),
            rule("risky", "signals.risk >= 8000", "monitor", 500),
        ],
        features=[
            feature("n_1m", "count", "1m", panes=6),
            feature("sum_5m", "sum", "5m", of="event.n", panes=5),
            feature("gap", "gap"),
            *more.get("features", ()),
        ],
    )
    return replace(made, wet=WET)


# Too little for all of them, so that both partitions ask one another all the time.
SCARCE: Final = """
timeout: 8s
cost_unit: count
accounts:
  - {name: all, unit: count, period: 20s, limit: 17}
  - {name: kind, unit: count, period: 20s, per: event.s, limit: 9, parent: all}
reserve:
  - {account: kind, amount: "1", for: [allow, monitor], then: review}
"""
KINDS: Final = {"features": [feature("kinds", "distinct", "5m", of="event.s", panes=5)]}

FIRST: Final = _version(1)
SECOND: Final = _version(2, **KINDS)
SHARING: Final = (_version(1, budgets=SCARCE), _version(2, budgets=SCARCE, **KINDS))
PLAIN: Final = (_version(1, budgets=""), _version(2, budgets="", **KINDS))
# What chains begin under, and what comes after it: accounts stay, come, and go.
COURSES: Final = ((FIRST, SECOND), SHARING, SHARING, (PLAIN[0], SHARING[1]), (SHARING[0], PLAIN[1]))
POLICIES: Final = {one.ref: one for one in (FIRST, SECOND, *SHARING, *PLAIN)}
LOAD: Final = loader(*POLICIES.values())

CERTIFICATE: Final = certificate(scopes=["sidechain/sim"])
KEYS: Final = Keys(OLD, parse(CERTIFICATE.text), CERTIFICATE, ROOT.verifier)

# Shared by all schedules: they only count.
DRY_METRICS: Final = DryMetrics(CollectorRegistry())
TAP_METRICS: Final = TapMetrics(CollectorRegistry())
WET_METRICS: Final = WetMetrics(CollectorRegistry())


class StubScorer(anomaly.Scorer):
    """Scores at once, from nothing but the tap: what the scheduler looks for lies elsewhere."""

    def score(self, taps: Sequence[Tap]) -> list[Score]:
        return [_scored(one) for one in taps]

    def prime(self, taps: Sequence[Tap]) -> None:
        """Learns nothing."""

    async def ready(self) -> None:
        """Always is; slowly, where the schedule says so."""
        if (pause_s := PROCESS.get().wire.cluster.wet_pause_s) > 0:
            await asyncio.sleep(pause_s)


class NoFitter:
    """There is nothing to fit."""

    def __init__(self, *_: Any) -> None: ...
    async def __aenter__(self) -> "NoFitter":
        return self

    async def __aexit__(self, *_: object) -> None: ...


@cache
def _compiled(ref: str) -> Any:
    return COMPILE(POLICIES[ref])


def _program(policy: Policy) -> Any:
    """Compiled once for all schedules: it holds nothing that a decision changes."""
    return _compiled(policy.ref)


COMPILE: Final = fold.Program
STUBS: Final = (
    (wet_worker, "Scorer", StubScorer),
    (wet_worker, "Fitter", NoFitter),
    (fold, "Program", _program),
    # Who waits looks less often than in earnest: that is most of what there would be to compute.
    (inputs, "POLL_MS", 100),
    (log_ends, "POLL_S", 0.1),
    (signals, "PAUSE_S", 1.0),
)


class Installation:
    """Starts, stops and restarts workers on one machine, as a supervisor does."""

    def __init__(self, machine: Machine, course: tuple[Policy, Policy]) -> None:
        """`course`: the policy chains begin under, and the one that may come."""
        random = machine.random
        self.machine = machine
        self.first, self.second = course
        self.config = Config(
            data=Path("unused"),
            cache=Path("unused"),
            pack="sim",
            prefix="sim.",
            partitions=2,
            shard_size=random.choice((1, 1, 2)),
            batch_max_records=random.choice((3, 10, 4_000)),
            takeover_timeout_s=10.0,
            commit_timeout_s=2.0,
            metadata_timeout_s=1.0,
            session_timeout_s=3.0,
            transaction_timeout_s=5.0,
            shutdown_timeout_s=4.0,
            tap_max_lag=random.choice((5, 100_000)),
        )
        counts = {self.config.topic(one): told.count(self.config.partitions) for one, told in catalog().items()}
        self.cluster = Cluster(machine, counts)
        self.keys = KEYS if random.random() < 0.6 else None
        self.running: dict[str, Process] = {}
        self.processes: list[Process] = []  # all there were
        self.broken: list[str] = []  # workers that ended for a reason of ours
        self.restarts = 0
        self.is_over = False
        self._stops: dict[str, asyncio.Event] = {}
        self._numbers = count()
        self._contexts: list[Context] = []

    @property
    def dry(self) -> list[Process]:
        """The dry workers that run."""
        return [one for name, one in sorted(self.running.items()) if name.startswith("dry")]

    def start(self, name: str) -> None:
        """Start a worker; what its name begins with is its role."""
        if name in self.running or self.is_over:
            return
        process = Process(name)
        process.wire = Wire(self.machine, process, self.cluster)
        self.running[name] = process
        self.processes.append(process)
        context = Context()
        context.run(PROCESS.set, process)
        self._contexts.append(context)
        stop = self._stops[name] = asyncio.Event()
        role = {"dry": self._dry, "tap": self._tap, "wet": self._wet}[name[:3]]
        self.machine.log("start", name)
        task = self.machine.create_task(role(stop), name=name, context=context)
        task.add_done_callback(lambda done: self._ended(name, process, done), context=self.machine.in_world())

    def stop(self, name: str) -> None:
        """Ask it to end, as SIGTERM does; a second worker of the name may start at once."""
        if name in self.running:
            self.machine.log("stop", name)
            self.running.pop(name)
            self._stops[name].set()

    def kill(self, name: str) -> None:
        """SIGKILL."""
        if name in self.running:
            self.machine.log("kill", name)
            self.machine.kill(self.running.pop(name))

    def _ended(self, name: str, process: Process, done: Any) -> None:
        if done.cancelled() or (fault := done.exception()) is None:
            self.running.pop(name, None) if self.running.get(name) is process else None
            return
        self.machine.log("ended", name, repr(fault))
        if not isinstance(fault, (EnvironmentProblem, KafkaError, TimeoutError)):
            self.broken.append(f"{name}: {fault!r}")
        if self.running.get(name) is process:
            del self.running[name]
            self.restarts += 1
            self.machine.call_later(RESTART_S, self.start, name, context=self.machine.in_world())

    async def _dry(self, stop: asyncio.Event) -> None:
        app = App()
        worker = DryWorker(app, self.first, self.config, {}, str, LOAD, DRY_METRICS, self.keys)
        try:
            await worker.prepare()
            app.start()
            await worker.run(stop)
        finally:
            await app.stop()
            await worker.close()

    async def _tap(self, stop: asyncio.Event) -> None:
        app, config = App(), self.config
        worker = TapWorker(
            app, self.first, None, {}, config.topic, config.topic_prefix, TAP_METRICS, max_lag=config.tap_max_lag
        )
        app.start()
        try:
            await worker.run(stop)
        finally:
            await app.stop()

    async def _wet(self, stop: asyncio.Event) -> None:
        app, config = App(), self.config
        worker = wet_worker.WetWorker(app, self.first, {}, config.topic, config.topic_prefix, WET_METRICS)
        app.start()
        try:
            await worker.run(stop)
        finally:
            await app.stop()


def _scored(tap: Tap) -> Score:
    """The first hosts are usual; the last one nearly always is not."""
    rank = zlib.crc32(f"{tap.key}|{tap.seq}".encode()) / 2**32
    score = 0.9 + rank / 10 if tap.key == "h3" else rank
    return Score(
        id=tap.id,
        key=tap.key,
        at=tap.at,
        partition=tap.partition,
        seq=tap.seq,
        action=tap.action,
        model="stub-1:00000000",
        state="scored",
        score=score,
        base=0.0,
        reasons=(("n_1m", score),),
        rationale="as the stub says",
    )
