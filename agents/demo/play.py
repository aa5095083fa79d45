"""The play: send the sample through the running system, wait until both sides are done, prove what came out."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from sidechain.agents.demo.signed import Signed, last_checkpoints
from sidechain.agents.demo.stage import TEACHER, Stage
from sidechain.agents.demo.watch import Watch
from sidechain.agents.differences import Difference, differences
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.outcomes import Router
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import Keyed, keyed, produce
from sidechain.agents.promoted import SLOT, promoted
from sidechain.agents.proof import Account, Proof, Topics
from sidechain.agents.pseudonym import pseudonym
from sidechain.models import samples
from sidechain.models.interleaved import Outcomes
from sidechain.models.policy import Policy
from sidechain.models.report.balances import Balances, Sums, together
from sidechain.topics.wet import Compensation, Metadata

DRAIN_S: Final = 120.0
QUIET_S: Final = 3.0  # no new word from the wet side for this long: it has said what it has to say
LOOK_S: Final = 0.1
HELD_BACK: Final = 3  # one part in so many is sent only when the wet side has caught up, so that decisions can use it
CATCH_UP_S: Final = 60.0
AT_MOST: Final = {"payments": 12_000}  # each has an outcome besides: about a minute for all of it

Told = Callable[[str], None]


@dataclass
class Planted:
    """What the wet side made of one planted key."""

    key: str
    risk: Metadata | None
    above_share: float  # of all keys, those with a lower risk
    compensations: int


@dataclass
class Report:
    """Everything the demo found, as it will be printed."""

    sent: int = 0
    sample: int = 0
    actions: Counter[str] = field(default_factory=Counter)  # of the sample's own events
    planted_actions: Counter[str] = field(default_factory=Counter)
    keys: int = 0
    with_signals: int = 0
    signals_used: Counter[str] = field(default_factory=Counter)  # signal -> decisions that had a value of it
    champion: str | None = None  # the model that scores as one, or "nobody"; None: the pack asks none
    outcomes: int = 0  # sent
    settled: Counter[str] = field(default_factory=Counter)  # label -> decisions
    refused_outcomes: int = 0
    budgets: dict[str, Sums] = field(default_factory=dict)
    budget_faults: list[str] = field(default_factory=list)
    raised: list[Metadata] = field(default_factory=list)
    compensations: list[Compensation] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    verified: list[Proof] = field(default_factory=list)
    checkpoints: list[Signed] = field(default_factory=list)
    replayed: list[Proof] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)  # why, where a decision could not be made again without

    @property
    def is_proved(self) -> bool:
        """Whether every proof holds."""
        proofs = [*self.verified, *self.replayed]
        faults = [*(one.fault for one in proofs), *(one.fault for one in self.checkpoints)]
        is_kept = not any(faults) and not self.budget_faults and all(one.balanced for one in self.accounts)
        return bool(proofs and self.checkpoints) and is_kept


async def play(stage: Stage, policy: Policy, rate: float, watch: Watch, told: Told) -> Report:
    """Send, wait, prove. Raises EnvironmentProblem when a worker ends or a bound passes."""
    own = samples.events(policy)[: AT_MOST.get(policy.name)]
    planted = samples.planted(policy.name)
    stream = samples.in_time_order(policy, own, planted)
    post = Post(stage, policy, samples.outcomes(policy)[: len(own)], rate)
    report = Report(sample=len(own))
    held_back = len(stream) // HELD_BACK if "wet" in stage.workers else 0
    await post.send(stream[: len(stream) - held_back])
    if held_back:
        told(f"{post.sent()} sent; the rest waits until the wet side has heard these")
        if not await _heard(stage, watch, post.events):
            told(f"the wet side did not catch up within {CATCH_UP_S:.0f} s: going on, decisions never wait for it")
        await post.send(stream[len(stream) - held_back :])
    await post.send_rest()
    report.sent, report.outcomes = post.events, post.outcomes
    told(f"{post.sent()} sent; waiting for the last decisions")
    await _until(
        stage,
        lambda: watch.events >= report.sent and watch.outcomes >= report.outcomes,
        DRAIN_S,
        "the decider did not finish",
    )
    if "wet" in stage.workers:
        told("waiting for the wet side to finish listening")
        await _quiet(stage, watch)
    async with Topics.of(stage.config) as topics:
        told("accounting: every event against its entry")
        report.accounts = await topics.account()
        told("verifying every seal and link")
        report.verified = await topics.verify()
        told("checking the checkpoints with the root's public key")
        report.checkpoints = await last_checkpoints(topics, stage.root, report.verified)
        told("replaying every decision")
        report.replayed = await topics.replay(policy)
        told("deciding everything again without signals")
        compared = await differences(topics, policy)
        report.differences, report.not_compared = compared.decisions, compared.faults
        await _by_origin(report, topics, policy, planted)
    _wet(report, stage, policy, watch, planted)
    if SLOT in policy.wet.experts:
        record = await promoted(stage.config)
        report.champion = (record and record.model) or "nobody"
    return report


async def _by_origin(report: Report, topics: Topics, policy: Policy, planted: list[bytes]) -> None:
    """Count actions for the sample's own events and for the planted ones."""
    id_field = policy.event.role("id").name
    planted_ids = {msgspec.json.decode(one)[id_field] for one in planted}
    keys: set[str] = set()
    chains: dict[int, Balances] = {}
    async for partition, entry in topics.entries():
        chains.setdefault(partition, Balances(partition)).take(entry)
        if entry["kind"] == "settlement" and entry["label"] is not None:
            report.settled[entry["label"]] += 1
        report.refused_outcomes += entry["kind"] == "refused-outcome"
        if entry["kind"] != "decision":
            continue
        keys.add(entry["key"])
        counts = report.planted_actions if entry["id"] in planted_ids else report.actions
        counts[entry["action"]] += 1
        used = [name for name, one in entry["signals"].items() if "value" in one]
        report.with_signals += bool(used)
        report.signals_used.update(used)
    report.keys = len(keys)
    report.budgets, report.budget_faults = together(list(chains.values()))


def _wet(report: Report, stage: Stage, policy: Policy, watch: Watch, planted: list[bytes]) -> None:
    report.raised = sorted(
        (one for one in watch.risks.values() if one.level != "normal"), key=lambda one: (-one.risk_bp, one.key)
    )
    report.compensations = list(watch.compensations.values())
    key_field = policy.event.role("key")
    for key in sorted({msgspec.json.decode(one)[key_field.name] for one in planted}):
        name = pseudonym(stage.secret, key_field.name, key) if key_field.personal else key
        risk = watch.risks.get(name)
        lower = report.keys - sum(one.risk_bp >= (risk.risk_bp if risk else 0) for one in watch.risks.values())
        report.planted.append(
            Planted(
                key,
                risk,
                lower / report.keys if risk and report.keys else 0.0,
                sum(one.key == name for one in report.compensations),
            )
        )


class Post:
    """Sends events at a rate, and before each what became known of earlier ones by then."""

    def __init__(self, stage: Stage, policy: Policy, outcomes: list[bytes], rate: float) -> None:
        self.events = 0
        self.outcomes = 0
        self._stage = stage
        self._policy = policy
        self._rate = rate
        self._waiting = Outcomes(outcomes, policy.event.role("time").name)
        self._router = Router(0, {})  # each states its key

    async def send(self, events: list[bytes]) -> None:
        records = list(self._between(events))
        # The rate is of events: what is known of others by then goes along.
        await self._send(records, self._rate * len(records) / max(len(events), 1))
        self.events += len(events)
        self.outcomes += len(records) - len(events)

    async def send_rest(self) -> None:
        """What became known after the last event."""
        for some in self._waiting.rest():
            await self._send(self._known(some), None)
            self.outcomes += len(some)

    def sent(self) -> str:
        """How many, in words."""
        return f"{self.events:,} events" + (f" and {self.outcomes:,} outcomes" if self.outcomes else "")

    def _between(self, events: list[bytes]) -> Iterator[Keyed]:
        for one in keyed(events, self._policy.event):
            yield from self._known(self._waiting.before(one.value))
            yield one

    def _known(self, outcomes: list[bytes]) -> list[Keyed]:
        topic = self._stage.config.topic("outcomes")
        return [one._replace(topic=topic) for one in self._router.keyed(outcomes)]

    async def _send(self, records: list[Keyed], rate: float | None) -> None:
        config = self._stage.config
        await _while_up(self._stage, produce(kafka_options(config), config.topic("events"), records, rate=rate))


async def _heard(stage: Stage, watch: Watch, sent: int) -> bool:
    """Whether, within a bound, all that was sent is decided, every decision has its score, and a model gave some.

    And, where outcomes teach something, whether anything was learned.
    """

    def is_done() -> bool:
        everything = watch.events >= sent and watch.scores.total() >= watch.kinds["decision"]
        is_taught = TEACHER not in stage.workers or watch.learned > 0
        return everything and watch.scores["scored"] > 0 and is_taught

    return await _within(stage, is_done, CATCH_UP_S)


async def _while_up(stage: Stage, sending: Coroutine[Any, Any, int]) -> int:
    """Await the sender, and notice a worker that ends meanwhile."""
    task = asyncio.create_task(sending)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=1.0)
            stage.check()
        return task.result()
    finally:
        task.cancel()


async def _until(stage: Stage, is_done: Callable[[], bool], within_s: float, complaint: str) -> None:
    if not await _within(stage, is_done, within_s):
        raise EnvironmentProblem(f"{complaint} within {within_s:.0f} s; its log is {stage.folder}/dry.log")


async def _within(stage: Stage, is_done: Callable[[], bool], within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while not is_done():
                stage.check()
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return False
    return True


async def _quiet(stage: Stage, watch: Watch) -> None:
    """Until the wet side has scored every decision it will score, or has nothing more to say."""
    loop = asyncio.get_running_loop()
    said, since = -1, loop.time()

    def is_done() -> bool:
        nonlocal said, since
        now = watch.scores.total() + len(watch.compensations)
        if now != said:
            said, since = now, loop.time()
        everything = watch.scores.total() >= watch.kinds["decision"]
        return loop.time() - since > (QUIET_S if everything else 5 * QUIET_S)

    await _until(stage, is_done, DRAIN_S, "the wet side did not finish")
