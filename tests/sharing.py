"""Partitions that share accounts, as folds over topics in memory: transactions, crashes, and records that come twice.

    world = World(3, seed=7)
    world.run(2_000)             # random events, outcomes, deliveries, commits, crashes, repetitions
    world.settle()               # everything that is under way arrives
    world.check()                # conserved by a ledger that reads entries only; each input once; replay is the same

What a fold has made is in the open until it is committed, and then it is all there at once: entries, state, and what
goes to other partitions. A crash throws away what was not committed, and what comes then may come in another order.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from sidechain.models.cel import INT, STRING, Variable, check
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.budget import AccountPlan, BudgetPlan
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import CO_PARTITIONED
from sidechain.models.dry.replay import Replayer
from sidechain.models.dry.transferring import Sent
from sidechain.models.policy import Budgeting, Policy, Reserve
from tests.budget_world import Ledger
from tests.support import event, line, policy

PERIOD_MS = 20_000  # ten or twenty events of a partition
ACCOUNTS = (
    AccountPlan(name="day", unit="EUR", period_ms=PERIOD_MS, limit=601, is_shared=True),
    AccountPlan(name="team", unit="EUR", period_ms=PERIOD_MS, limit=250, parent="day", is_per_key=True, is_shared=True),
    AccountPlan(name="looks", unit="count", period_ms=PERIOD_MS, limit=7, is_shared=True),
)


def sharing(accounts: tuple[AccountPlan, ...] = ACCOUNTS, version: int = 1) -> Policy:
    """`event.n` is reserved in the day of the team `event.s`; every seventh event is looked at besides."""
    of_event = {"event.n": Variable(INT), "event.s": Variable(STRING, unknown=True)}
    reserves = (
        Reserve(account="team", amount=check("event.n", of_event, expect=INT), actions=("allow",), then="review"),
        Reserve(account="looks", amount=check("1", {}, expect=INT), actions=("review",), then="block"),
    )
    plan = BudgetPlan(accounts, timeout_ms=6_000)
    keys = {"team": check("event.s", of_event, expect=STRING)}
    budgeting = Budgeting(plan=plan, cost_unit="EUR", keys=keys, reserves=reserves)
    made = policy(version=version)
    text = f"{made.text} sharing {sorted(plan.accounts)}"
    return replace(made, text=text, digest=sha256(text.encode()).hexdigest(), budgeting=budgeting)


SHARING = sharing()


@dataclass
class Partition:
    """One partition: its topics, its chain as committed, and what its owner has made since."""

    number: int
    fold: Fold
    inputs: dict[str, list[Line]] = field(default_factory=lambda: {one: [] for one in CO_PARTITIONED})
    chain: list[bytes] = field(default_factory=list)
    state: dict[bytes, bytes] = field(default_factory=dict)
    made: list[bytes] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def write(self, topic: str, key: bytes | None, value: bytes) -> None:
        self.inputs[topic].append(Line(len(self.inputs[topic]), key, value))

    def waiting(self, topic: str) -> int:
        return len(self.inputs[topic]) - self.fold.next.get(topic, 0)


class World:
    """All partitions, and who acts next."""

    def __init__(self, partitions: int, *, seed: int = 0, policy: Policy = SHARING) -> None:
        self.random = Random(seed)
        self.policy = policy
        self.partitions = [Partition(one, Fold(policy, one, partitions=partitions)) for one in range(partitions)]
        self.events = 0
        self.crashes = 0
        self.repeated: Counter[int] = Counter()  # partition -> records somebody wrote there a second time

    def run(self, operations: int) -> None:
        acts = (self.happen, self.happen, self.decide, self.decide, self.decide, self.commit, self.commit, self.act)
        for _ in range(operations):
            self.random.choice(acts)(self.random.choice(self.partitions))

    def act(self, at: Partition) -> None:
        self.random.choice((self.outcome, self.outcome, self.outcome, self.crash, self.repeat))(at)

    def happen(self, at: Partition) -> None:
        """An event. Partition 0 sees most of them, so that its accounts run dry first."""
        at = self.partitions[0] if self.random.random() < 0.5 else at
        number, self.events = self.events, self.events + 1
        host = f"h{at.number}"
        told = {"host": host, "n": self.random.choice((0, 1, 5, 20, 40, 90, 300)), "s": self.random.choice("abc")}
        clock = {"at": event(number // 2)["at"]}
        at.write("events", host.encode(), line(event(number, **told, **clock)))

    def outcome(self, at: Partition) -> None:
        if at.inputs["events"]:
            number = msgspec.json.decode(self.random.choice(at.inputs["events"]).value or b"")["id"]
            cost = self.random.choice((0, 1, 20, 60, 400))
            at.write("outcomes", None, line({"id": number, "at": 1, "cost_minor": cost}))

    def decide(self, at: Partition) -> None:
        """A few records of one input, whichever comes first."""
        topic = self.random.choice(CO_PARTITIONED)
        start = at.fold.next.get(topic, 0)
        records = at.inputs[topic][start : start + self.random.choice((1, 1, 3, 50))]
        folded = getattr(at.fold, topic)(records)
        at.made += [value for _, value in folded.entries]
        at.sent += getattr(folded, "sent", ())

    def commit(self, at: Partition) -> None:
        at.chain += at.made
        for name, value in at.fold.changes():
            if value is None:
                at.state.pop(name, None)
            else:
                at.state[name] = value
        for one in at.sent:
            self.partitions[one.partition].write("transfers", one.key, one.value)
        at.made, at.sent = [], []

    def crash(self, at: Partition) -> None:
        """A new owner reads what was committed, in any order."""
        self.crashes += 1
        at.made, at.sent = [], []
        at.fold = self.restored(at) if at.chain else Fold(self.policy, at.number, partitions=len(self.partitions))

    def restored(self, at: Partition) -> Fold:
        state = list(at.state.items())
        self.random.shuffle(state)
        return Fold.restore(at.number, at.chain[-1], state, self.policy, partitions=len(self.partitions))

    def repeat(self, at: Partition) -> None:
        """A transfer stands on the topic once more, as it was."""
        if at.inputs["transfers"]:
            again = self.random.choice(at.inputs["transfers"])
            at.write("transfers", again.key, again.value or b"")
            self.repeated[at.number] += 1

    def settle(self) -> None:
        """Everything that was written is decided, and all that goes on from there."""
        for one in self.partitions:
            self.commit(one)
        while any(one.waiting(topic) for one in self.partitions for topic in CO_PARTITIONED):
            for one in self.partitions:
                self.decide(one)
                self.commit(one)

    def conserved(self) -> Counter[str]:
        """What is committed by now, with what is under way between partitions."""
        return conserved(self.policy, [one.chain for one in self.partitions])

    def check(self) -> Counter[str]:
        """Everything; returns how many entries there are of each kind, and how many moved something."""
        counts = self.conserved()
        for one in self.partitions:
            replayed(self.policy, one)
            sources = Counter(tuple(msgspec.json.decode(value)["source"]) for value in one.chain)
            due = Counter((topic, one.number, at.offset) for topic in CO_PARTITIONED for at in one.inputs[topic])
            assert sources == due, one.number
        assert counts["repeated"] == sum(self.repeated.values())
        return counts


def replayed(policy: Policy, at: Partition) -> None:
    """The same inputs seal the same bytes, and leave the state that was written down."""
    verifier = Verifier()
    replayer = Replayer(policy, at.number, lambda topic, offset: at.inputs[topic][offset])
    for value in at.chain:
        assert verifier.take(value) is None
        assert replayer.take(value) is None
    if at.chain:
        whole = {name: value for name, value in replayer.fold.changes() if value is not None}
        assert whole == at.state, at.number


def conserved(policy: Policy, chains: list[list[bytes]]) -> Counter[str]:
    """What the entries say, added up by the ledger over all partitions, in an order in which it can have happened."""
    assert policy.budgeting is not None
    ledger, counts = Ledger(policy.budgeting.plan, len(chains)), Counter[str]()
    left = [[msgspec.json.decode(value) for value in chain] for chain in chains]
    at = [0] * len(left)
    while moved := [
        one for one, entries in enumerate(left) if at[one] < len(entries) and _may(entries[at[one]], ledger)
    ]:
        for one in moved:
            _see(ledger, counts, one, left[one][at[one]])
            at[one] += 1
            if sum(at) % 16 == 0:
                ledger.conserved()
    assert at == [len(entries) for entries in left], "a credit nobody gave"
    ledger.conserved()
    counts["under way"] = sum(amount for _, amount in ledger.under_way.values())
    return counts


def _may(entry: dict[str, Any], ledger: Ledger) -> bool:
    """A credit comes behind the debit it is of."""
    if entry["kind"] != "credit" or entry["reason"] == "repeated-transfer":
        return True
    return (entry["transfer"]["source"], entry["transfer"]["seq"]) in ledger.under_way


def _see(ledger: Ledger, counts: Counter[str], partition: int, entry: dict[str, Any]) -> None:
    counts[entry["kind"]] += 1
    if entry.get("reason") == "repeated-transfer":
        assert entry["amount"] == 0
        counts["repeated"] += 1
    elif entry["kind"] == "debit":
        asked = entry["transfer"]
        grant = {**asked, "kind": "grant", "source": partition, "to": asked["source"], "seq": entry["seq"]}
        given = {"amount": entry["amount"], "grant": {**grant, "amount": entry["amount"]}, "seq": entry["seq"]}
        ledger.see(partition, given, asked)
        counts["given"] += bool(entry["amount"])
    elif entry["kind"] == "credit":
        ledger.see(partition, entry, entry["transfer"])
        counts["added"] += bool(entry["amount"])
        counts["lapsed"] += bool(entry["lapsed"])
    elif (budget := entry.get("budget")) is not None:
        for closed in budget["closed"]:
            ledger.see(partition, {**closed, "seq": entry["seq"]})
        if budget["reserved"] is not None:
            ledger.see(partition, {**budget["reserved"], "seq": entry["seq"]})
            counts["reserved"] += 1
        counts["refused"] += len(budget["refused"])
