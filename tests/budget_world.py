"""A small world of partitions with budgets: transactions, crashes, rebalances, transfers under way; and a dumb ledger.

The ledger is told nothing but the records that entries hold. It keeps three numbers an account and works the balances
out anew, by a formula that knows no cases: what is spent is the smaller of all costs and of all that is not held.
"""

from collections import Counter
from random import Random
from typing import Any

import msgspec

from sidechain.models.dry.budget import (
    AccountPlan,
    BudgetPlan,
    Budgets,
    Closed,
    Credit,
    Debit,
    Moment,
    Refused,
    Reserved,
    Transfer,
    Want,
    encode_transfer,
    read_transfer,
)

DAY = 10_000  # ms; small, so that days end while things are held
MONTH = 7 * DAY
PEOPLE = 60


def crowded(plenty: int = 1, **bounds: Any) -> BudgetPlan:
    """Too little of everything: accounts run dry, partitions beg, costs exceed; with `plenty`, later in the day."""
    return BudgetPlan(
        [
            AccountPlan(name="tenant_month", unit="EUR", period_ms=MONTH, limit=40_000 * plenty, is_shared=True),
            AccountPlan(
                name="team_day",
                unit="EUR",
                period_ms=DAY,
                limits={"red": 4_000 * plenty, "blue": 1_003 * plenty, "poor": 2},
                parent="tenant_month",
                is_per_key=True,
                is_shared=True,
            ),
            AccountPlan(
                name="person_day",
                unit="EUR",
                period_ms=DAY,
                limit=300 * plenty,
                parent="team_day",
                is_per_key=True,
            ),
            AccountPlan(name="reviews_day", unit="count", period_ms=DAY, limit=101 * plenty, is_shared=True),
        ],
        timeout_ms=2_500,
        **bounds,
    )


class Ledger:
    """What all partitions together were given, hold and have spent, from the records alone."""

    def __init__(self, plan: BudgetPlan, partitions: int) -> None:
        self.plan, self.partitions = plan, partitions
        self.given: dict[tuple[Any, ...], int] = {}  # (account, key, from, partition) -> what it may spend
        self.held: Counter[tuple[Any, ...]] = Counter()
        self.costs: Counter[tuple[Any, ...]] = Counter()
        self.waiting: dict[tuple[int, int], list[Any]] = {}  # (partition, seq) -> parts
        self.under_way: dict[tuple[int, int], tuple[tuple[Any, ...], int]] = {}  # (partition, seq) -> account, amount
        self.lapsed: Counter[tuple[Any, ...]] = Counter()

    def first_given(self, place: tuple[Any, ...]) -> int:
        account, key, _, partition = place
        plan = self.plan.accounts[account]
        limit = plan.limits.get(key, plan.limit)
        return len(range(partition, limit, self.partitions)) if plan.is_shared else limit

    def see(self, partition: int, record: dict[str, Any], about: dict[str, Any] | None = None) -> list[Any]:
        """One record, as JSON has it; `about`: the transfer it answers. Returns the places it touched."""
        touched = []
        if "expires_ms" in record:
            self.waiting[partition, record["seq"]] = record["parts"]
            for account, key, _unit, from_ms, _until, amount in record["parts"]:
                touched.append(place := (account, key, from_ms, partition))
                self.held[place] += amount
        elif "how" in record:
            parts = self.waiting.pop((partition, record["reservation"]))
            assert [(one[0], one[1], one[3]) for one in parts] == [tuple(one[:3]) for one in record["parts"]]
            for (account, key, _unit, from_ms, _until, amount), closing in zip(parts, record["parts"], strict=True):
                touched.append(place := (account, key, from_ms, partition))
                self.held[place] -= amount
                self.costs[place] += closing[4]
                assert record["how"] == "settled" or closing[4] in (0, amount)
        elif "lapsed" in record and about is not None:
            place, amount = self.under_way.pop((about["source"], about["seq"]))
            assert record["amount"] + record["lapsed"] == amount == about["amount"]
            self.lapsed[place[:3]] += record["lapsed"]
            if record["amount"]:
                touched.append(place)
                self.given[place] = self.given_at(place) + record["amount"]
        elif record.get("grant"):
            grant = record["grant"]
            account = (grant["account"], grant["key"], grant["from_ms"])
            assert record["amount"] == grant["amount"] <= about["amount"]
            self.under_way[partition, grant["seq"]] = ((*account, grant["to"]), grant["amount"])
            if grant["amount"]:
                touched.append(place := (*account, partition))
                self.given[place] = self.given_at(place) - grant["amount"]
        return touched

    def given_at(self, place: tuple[Any, ...]) -> int:
        return self.given[place] if place in self.given else self.first_given(place)

    def balances(self, place: tuple[Any, ...]) -> tuple[int, int, int, int, int]:
        """initial, remaining, reserved, committed, overrun."""
        given, held, costs = self.given_at(place), self.held[place], self.costs[place]
        spent = min(costs, given - held)
        return given, given - held - spent, held, spent, costs - spent

    def conserved(self) -> None:
        """Over all partitions: what was given, is under way or has lapsed is the limit, and less is spent."""
        accounts = {place[:3] for place in (*self.given, *self.held, *self.costs)}
        flying: Counter[tuple[Any, ...]] = Counter()
        for place, amount in self.under_way.values():
            flying[place[:3]] += amount
        for account in accounts:
            name, key, _ = account
            plan = self.plan.accounts[name]
            everywhere = [(*account, one) for one in range(self.partitions)]
            if plan.is_shared:
                limit = plan.limits.get(key, plan.limit)
                given = sum(map(self.given_at, everywhere))
                assert given + flying[account] + self.lapsed[account] == limit, account
                assert sum(self.balances(one)[3] + self.balances(one)[2] for one in everywhere) <= limit, account
            for one in everywhere:
                assert min(self.balances(one)) >= 0, one

    def forget_before(self, now_ms: int) -> None:
        """Accounts of periods that are over everywhere, with nothing held and nothing under way."""
        busy = {one[:3] for one, amount in self.held.items() if amount}
        busy |= {place[:3] for place, _ in self.under_way.values()}
        for table in (self.given, self.held, self.costs):
            for place in list(table):
                if place[:3] not in busy and place[2] + MONTH <= now_ms:
                    del table[place]


class Place:
    """One partition: its budgets, what it has committed, and what it has done since."""

    def __init__(self, plan: BudgetPlan, partition: int, partitions: int) -> None:
        self.partition = partition
        self.make = lambda: Budgets(plan, partition, partitions)
        self.budgets = self.make()
        self.seq = self.now_ms = self.position = 0
        self.log: dict[bytes, bytes] = {}
        self.pending: list[tuple[str, tuple[Any, ...], Any]] = []  # operations of the open transaction
        self.outbox: list[Transfer] = []

    def do(self, name: str, *arguments: Any) -> Any:
        answer = getattr(self.budgets, name)(*arguments)
        self.pending.append((name, arguments, answer))
        return answer

    def at(self) -> Moment:
        return Moment(self.seq, self.now_ms)

    def commit(self) -> list[Transfer]:
        for name, value in self.budgets.changes():
            if value is None:
                self.log.pop(name, None)
            else:
                self.log[name] = value
        self.pending.clear()
        sent, self.outbox = self.outbox, []
        return sent

    def restored(self, random: Random) -> Budgets:
        """A new owner: its records come in any order; what was not committed is delivered again."""
        records = list(self.log.items())
        random.shuffle(records)
        budgets = self.make()
        budgets.restore(records)
        return budgets

    def crash(self, random: Random) -> None:
        self.budgets = self.restored(random)
        for name, arguments, answer in self.pending:
            assert getattr(self.budgets, name)(*arguments) == answer, (name, arguments)


class World:
    """Partitions, topics between them, and the ledger that watches."""

    def __init__(self, partitions: int, plan: BudgetPlan | None = None, *, seed: int = 0) -> None:
        self.plan = plan or crowded()
        self.random = Random(seed)
        self.partitions = partitions
        self.places = [Place(self.plan, one, partitions) for one in range(partitions)]
        self.topics: list[list[bytes]] = [[] for _ in range(partitions)]
        self.ledger = Ledger(self.plan, partitions)
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    # Each operation is one number apart from its partition, so that hypothesis can shrink it.

    def reserve(self, place: Place, number: int) -> None:
        """Clock, then decision."""
        place.now_ms += (0, 0, 1, 7, 60, 400, 0, 3)[number % 8] if number % 977 else 2 * DAY
        expired = place.do("advance", place.at())
        self.see(place, *expired)
        self.done["expired"] += len(expired)
        person = number * 2_654_435_761 % PEOPLE // self.partitions * self.partitions + place.partition
        keys = {"person_day": f"p{person}", "team_day": ("red", "blue", "poor", "red")[number // 8 % 4]}
        wants = [Want("person_day" if number % 3 else "team_day", number // 32 % 150)]
        if number % 4 == 0:
            wants.append(Want("reviews_day", 1))
        answer = place.do("reserve", place.at(), wants, keys)
        self.done["reserve"] += 1
        if isinstance(answer, Reserved):
            self.see(place, answer)
        else:
            self.refused[answer.reason] += 1
        if answer.ask is not None:
            place.outbox.append(answer.ask)
            self.done["ask"] += 1
        place.seq += 1

    def end(self, place: Place, number: int) -> None:
        """Settle, or release, something open."""
        waiting = self.waiting(place)
        if not waiting:
            return
        reservation = waiting[number % len(waiting)]
        amount = self.ledger.waiting[place.partition, reservation][0][5]
        if number // 64 % 5 == 0:
            answer = place.do("release", place.at(), reservation)
        else:
            much = 3 * amount if number % 7 == 0 else amount
            cost = (None, amount, amount // 2, amount + number // 8 % 40, 0, much)[number // 64 % 6]
            answer = place.do("settle", place.at(), reservation, cost, "EUR")
        assert isinstance(answer, Closed)
        self.see(place, answer)
        self.done[answer.how] += 1
        place.seq += 1

    def waiting(self, place: Place) -> list[int]:
        return list(place.budgets._memory.open)

    def wrong(self, place: Place, number: int) -> None:
        """Input that must be refused, and change nothing."""
        wrong = (
            ("settle", place.seq + 5, 10),
            ("settle", number % (place.seq + 1), -1),
            ("release", -7),
            ("settle", number % (place.seq + 1), 2**53),
        )[number % 4]
        answer = place.do(wrong[0], place.at(), *wrong[1:])
        if isinstance(answer, Closed):  # it was open after all
            self.see(place, answer)
        else:
            self.refused[answer.reason] += 1
        answer = place.do("reserve", place.at(), [Want("person_day", (2**53, -1, 1.5, True)[number % 4])], {})
        assert answer.reason == "bad-amount"
        self.done["wrong"] += 1
        place.seq += 1

    def deliver(self, place: Place, number: int) -> None:
        """The next record of its transfers topic, or one it has sealed before."""
        topic = self.topics[place.partition]
        is_again = number % 29 == 0 and place.position
        if not is_again and place.position == len(topic):
            return
        transfer = read_transfer(topic[number % place.position if is_again else place.position])
        answer = place.do("debit" if transfer.kind == "ask" else "credit", place.at(), transfer)
        if is_again:
            assert answer.reason == "repeated-transfer", answer
            self.done["repeated"] += 1
            place.seq += 1
            return
        place.position += 1
        if isinstance(answer, Debit):
            assert answer.grant is not None
            place.outbox.append(answer.grant)
        self.see(place, answer, about=transfer)
        self.done["debit" if isinstance(answer, Debit) else "credit" if answer.amount else "empty credit"] += 1
        place.seq += 1

    def commit(self, place: Place, _number: int = 0) -> None:
        for transfer in place.commit():
            self.topics[transfer.to].append(encode_transfer(transfer))
        self.done["commit"] += 1

    def crash(self, place: Place, _number: int = 0) -> None:
        place.crash(self.random)
        self.done["crash"] += 1

    def rebalance(self, place: Place, number: int) -> None:
        """Another owner, while the old one wakes up late and goes on: what it does is not committed."""
        self.commit(place)
        zombie, place.budgets = place.budgets, place.restored(self.random)
        for one in range(number % 5):
            zombie.reserve(Moment(place.seq + one, place.now_ms), [Want("reviews_day", 1)], {})
        self.done["rebalance"] += 1

    def see(self, place: Place, *answers: Reserved | Closed | Debit | Credit, about: Transfer | None = None) -> None:
        """The ledger hears of it, and the accounts it touched agree with the books."""
        transfer = None if about is None else msgspec.to_builtins(about)
        touched = []
        for answer in answers:
            record = {**msgspec.to_builtins(answer), "seq": place.seq}
            touched += self.ledger.see(place.partition, record, transfer)
        for one in touched:
            self.agrees(place, one)

    def agrees(self, place: Place, one: tuple[Any, ...]) -> None:
        account, key, from_ms, _ = one
        initial, remaining, reserved, committed, overrun = self.ledger.balances(one)
        plan = self.plan.accounts[account]
        until_ms = from_ms + plan.period_ms
        book = place.budgets.books.get(f"{account}:{plan.unit}:{from_ms}:{until_ms}:{key}")
        if book is None:  # nothing is lost by forgetting it, or its period is over
            is_over = until_ms <= place.now_ms
            assert not reserved, one
            assert is_over or (initial == remaining and not overrun), one
            return
        got = (book.initial, book.remaining, book.reserved, book.committed, book.overrun)
        assert got == (initial, remaining, reserved, committed, overrun), one

    def check(self) -> None:
        """Everything, at once."""
        for place in self.places:
            for name, book in place.budgets.books.items():
                account, _unit, from_ms, until_ms, key = name.split(":", 4)
                assert (book.from_ms, book.until_ms) == (int(from_ms), int(until_ms))
                self.agrees(place, (account, key, book.from_ms, place.partition))
            for one in [one for one in self.ledger.held if one[3] == place.partition]:
                self.agrees(place, one)
            assert place.budgets.open <= self.plan.max_open
            assert len(place.budgets.books) <= self.plan.max_accounts
        self.ledger.conserved()
        self.ledger.forget_before(min(one.now_ms for one in self.places))

    def drain(self) -> None:
        """Everything that is under way arrives, and everything that waits expires."""
        for place in self.places:
            self.commit(place)
        while any(one.position < len(self.topics[one.partition]) for one in self.places):
            for place in self.places:
                self.deliver(place, 1)
                self.commit(place)
        end_ms = max(one.now_ms for one in self.places) + 2 * MONTH
        for place in self.places:
            place.now_ms = end_ms
            while closed := place.do("advance", place.at()):
                self.see(place, *closed)
                place.seq += 1
            while place.budgets.books:
                place.do("advance", place.at())
        assert not self.ledger.under_way
        assert not any(self.ledger.held.values())
        self.check()


def refusal(answer: object) -> str | None:
    """Its reason, where it is one."""
    return answer.reason if isinstance(answer, Refused) else None
