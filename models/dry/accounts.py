"""The budgets of one partition as decisions and outcomes use them.

    a decision       expires what is due, and then asks for what its action lets happen
    an outcome       that states a cost ends the reservation of its decision

Where the policy has governance, a governor answers before anything is asked for, and watches every cost.

Rule 1: what the rules decided is asked for first. What is refused makes the decision stricter, and the stricter one is
asked for in its place, until an action stands whose wants are all held, or none is left.
Rule 2: what is refused is not asked for again in the same decision, and hinders no other account.
Rule 3: what an entry says of it is the answer of `Budgets`, whole: nothing else has changed.

    budgets:   [4,0,0]   partitions the accounts are shared among, epoch, and `nothing_before_ms`, on the changelog
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from sidechain.models.dry.asking import ask, governed_want
from sidechain.models.dry.budget import (
    PREFIXES,
    BudgetPlan,
    Budgets,
    Closed,
    Moment,
    Refused,
    Reserved,
    Spending,
    Want,
)
from sidechain.models.dry.governance import GOVERNED_PREFIXES, Governed, Governor, Watched
from sidechain.models.dry.program import RANK, Outcome, Program
from sidechain.models.dry.shares import share
from sidechain.models.dry.state import Change
from sidechain.models.policy import ACTIONS, Budgeting, Governing, Reserve

BUDGETS_KEY: Final = b"budgets:"
BUDGET_PREFIXES: Final = (BUDGETS_KEY, *PREFIXES, *GOVERNED_PREFIXES)
_NO_AMOUNT: Final = -1  # unknown; refused as any other that is none
# Of a policy that has dropped its budgets: what is open runs out, and counts as spent.
_NOTHING: Final = BudgetPlan([], timeout_ms=1, on_timeout="commit")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int | None, int, int]).decode


class NotShared(ValueError):  # noqa: N818 - named for what it is
    """Accounts are used, and nobody has said how many partitions share them."""


class Accounts:
    """Nothing until a policy has budgets; from then on the `Budgets` of the partition."""

    def __init__(self, partition: int, partitions: int | None, program: Program) -> None:
        """`partitions`: those of the topic, among which accounts are shared; None: not known yet."""
        self.partition = partition
        self.partitions: int | None = None
        self.epoch = 0
        self.nothing_before_ms = 0
        self.budgets: Budgets | None = None  # since a decision first asked for anything
        self.governor: Governor | None = None  # as long as the policy has governance
        self._forgotten: list[bytes] = []  # records of a governor that is none any more
        self._plan: BudgetPlan | None = None
        self._is_written = True
        self._share = 0
        if partitions is not None:
            self.share_among(partitions)
        self.follow(program, 0)

    @property
    def are_used(self) -> bool:
        """Whether a decision has to ask here."""
        return self._plan is not None

    @property
    def total(self) -> int:
        """Of the shares of all records, as of the last `changes`: this part of the state's digest."""
        governed = 0 if self.governor is None else self.governor.total
        return self._share + (0 if self.budgets is None else self.budgets.total) + governed

    def begin_epoch(self, epoch: int, at_ms: int) -> None:
        """The state is lost, and with it who spent what in the periods that began before `at_ms`."""
        self.epoch = epoch
        if self._plan is not None:
            self.nothing_before_ms = at_ms
        if self.governor is not None:
            self.governor.begin_downgraded()

    def share_among(self, partitions: int) -> None:
        """So many partitions share the accounts. Raises ValueError when that cannot be, or is another number."""
        if self.partitions == partitions:
            return
        if self.partitions is not None:
            raise ValueError(f"accounts are shared among {self.partitions} partitions, not {partitions}")
        if not self.partition < partitions:
            raise ValueError(f"partition {self.partition} of {partitions}")
        self.partitions = partitions
        self._is_written = False

    def follow(self, program: Program, at_ms: int) -> None:
        """A policy took effect, by a control record of `at_ms`."""
        budgeting = program.policy.budgeting
        self._govern(None if budgeting is None else budgeting.governing)
        if budgeting is None and self._plan is None:
            return
        if self._plan is None:
            self._is_written = False
            if self.epoch:  # which began without budgets: what the one before had spent nobody knows either
                self.nothing_before_ms = at_ms
        self._plan = _NOTHING if budgeting is None else budgeting.plan
        if self.budgets is not None:
            self.budgets.change(self._plan)

    def decide(
        self,
        at: Moment,
        program: Program,
        outcome: Outcome,
        event: Any,
        features: tuple[int | None, ...],
        signals: tuple[int | None, ...],
    ) -> tuple[Outcome, Spending | None]:
        """Hold what the decision lets happen; `outcome`: what rules and trust gate say.

        What the decision has become, and what its entry says of budgets.
        """
        closed = () if self.budgets is None else self.budgets.advance(at)
        budgeting, governor = program.policy.budgeting, self.governor
        reserved: Reserved | None = None
        refused: tuple[Refused, ...] = ()
        governed: Governed | None = None
        if governor is not None:
            for one in closed:  # nothing came of it in time
                governor.released(one.reservation)
        if program.wants is not None and budgeting is not None:
            applies, amounts, texts = program.wants(event, features, signals, outcome.score_bp)
            asked = [
                (one, Want(one.account, _NO_AMOUNT if amount is None else amount))
                for one, applied, amount in zip(budgeting.reserves, applies, amounts, strict=True)
                if applied is not False
            ]
            keys = dict(zip(budgeting.keys, texts, strict=True))
            scenario = None
            if budgeting.governing is not None and governor is not None and program.requests is not None:
                mine = governed_want(budgeting.governing, outcome, asked)
                if mine is not None:  # else nothing may be opened: the entry says nothing of accounts
                    said = program.requests(event, features, signals, outcome.score_bp)
                    outcome, asked, governed, scenario = ask(
                        governor, budgeting.governing, self._opened(), at, outcome, asked, mine, keys, said
                    )
            outcome, reserved, refused = self._held(at, outcome, asked, keys)
            if governor is not None and reserved is not None and _is_held(reserved, budgeting):
                governor.awaits(at.seq, scenario, at.now_ms)
        if not closed and reserved is None and not refused and governed is None:
            return outcome, None
        return outcome, Spending(
            self._opened().partitions, closed, reserved, refused, UNSET if governed is None else governed
        )

    def settle(
        self, at: Moment, decision: int, cost: int | None, budgeting: Budgeting | None, *, is_bad: bool = False
    ) -> Spending | None:
        """An outcome said what a decision has cost; None where it said nothing of that, or nothing was reserved.

        `is_bad`: it said as well that the decision turned out bad.
        """
        if cost is None or self.budgets is None:
            return None
        budgets = self.budgets
        answer = budgets.settle(at, decision, cost, None if budgeting is None else budgeting.cost_unit)
        if isinstance(answer, Refused) and answer.reason == "unknown-unit":
            answer = budgets.settle(at, decision)  # nothing was reserved in the cost's unit: all is spent as reserved
        if isinstance(answer, Closed):
            watched = self._watch(at, answer, budgeting, is_bad=is_bad)
            return Spending(budgets.partitions, (answer,), None, (), UNSET if watched is None else watched)
        if answer.reason == "unknown-reservation":
            return None
        return Spending(budgets.partitions, (), None, (answer,))

    def opened(self) -> Budgets:
        """The budgets, for what other partitions ask and give; also where no policy has accounts any more."""
        if self._plan is None:
            self._plan = _NOTHING
        return self._opened()

    def changes(self) -> Iterator[Change]:
        """The state records that changed since the last call."""
        if not self._is_written and self._plan is not None:
            value = _encode((self.partitions, self.epoch, self.nothing_before_ms))
            self._is_written = True
            self._share = share(BUDGETS_KEY, value)
            yield BUDGETS_KEY, value
        if self.budgets is not None:
            yield from self.budgets.changes()
        yield from ((name, None) for name in self._forgotten)
        self._forgotten.clear()
        if self.governor is not None:
            yield from self.governor.changes()

    def forget_changes(self) -> None:
        """Nobody writes this state down."""
        self._forgotten.clear()
        if self.governor is not None:
            self.governor.forget_changes()
        if self.budgets is not None:
            self.budgets.forget_changes()

    def restore(self, records: Iterable[tuple[bytes, bytes]], epoch: int) -> None:
        """Take over the records of the changelog, in any order. Raises ValueError, which says what is wrong."""
        self.epoch = epoch
        found = dict(records)
        governed = {name: found.pop(name) for name in list(found) if name.startswith(GOVERNED_PREFIXES)}
        if self.governor is not None:
            self.governor.restore(governed.items())
        elif governed:
            raise ValueError(f"{min(governed)!r} is there, and the policy in force has no governance")
        value = found.pop(BUDGETS_KEY, None)
        if value is None:
            if found or self._plan is not None:
                raise ValueError(f"{BUDGETS_KEY!r} is missing: it is not known how many partitions share the accounts")
            return
        try:
            partitions, self.epoch, self.nothing_before_ms = _decode(value)
        except (ValueError, RecursionError) as fault:  # any bytes may stand there
            raise ValueError(f"{BUDGETS_KEY!r} cannot be read: {fault}") from fault
        if partitions is not None:
            self.share_among(partitions)
        if self._plan is None:  # the policy in force has none, and one before it had
            self._plan = _NOTHING
        if found:
            self._opened().restore(found.items())
        self._is_written = True
        self._share = share(BUDGETS_KEY, value)

    def _held(
        self, at: Moment, outcome: Outcome, asked: list[tuple[Reserve, Want]], keys: Mapping[str, str | None]
    ) -> tuple[Outcome, Reserved | None, tuple[Refused, ...]]:
        """The decision that stands, with what is held for it. Every turn refuses a want or more, so it ends."""
        refused: list[Refused] = []
        may_ask = True
        while wanted := [one for one in asked if outcome.action in one[0].actions]:
            budgets = self._opened()
            answer = budgets.reserve(at, [want for _, want in wanted], keys, may_ask=may_ask)
            if isinstance(answer, Reserved):
                return outcome, answer, tuple(refused)
            refused.append(answer)
            may_ask = may_ask and answer.ask is None
            fell = [one for one, _ in wanted if answer.account is None or _leads_to(budgets, one, answer.account)]
            if not fell:
                raise AssertionError(f"account {answer.account} refused what nobody asked of it")
            for one in fell:
                action = ACTIONS[max(RANK[outcome.action], RANK.get(one.then, 0))]
                reason = ("budget", one.account, answer.reason, one.then)
                outcome = outcome._replace(action=action, reasons=(*outcome.reasons, reason))
            asked = [one for one in asked if one[0] not in fell]
        return outcome, None, tuple(refused)

    def _govern(self, governing: Governing | None) -> None:
        """A policy took effect that governs so, or not at all: then what was remembered of it is forgotten."""
        if governing is None:
            if self.governor is not None:
                self._forgotten += self.governor.names
            self.governor = None
        elif self.governor is None:
            self.governor = Governor(governing.rules, governing.recovered)
        else:
            self.governor.change(governing.rules, governing.recovered)

    def _watch(self, at: Moment, closed: Closed, budgeting: Budgeting | None, *, is_bad: bool) -> Watched | None:
        """What a cost does to the tripwire; None where nothing of the governed account was held."""
        if self.governor is None or budgeting is None or budgeting.governing is None:
            return None
        mine = next((one for one in closed.parts if one.account == budgeting.governing.account), None)
        if mine is None:
            return None
        decision, cost = closed.reservation, mine.cost
        return self.governor.settled(
            at.seq, decision, estimate=mine.reserved, cost=cost, now_ms=at.now_ms, is_bad=is_bad
        )

    def _opened(self) -> Budgets:
        if self.budgets is None:
            if self._plan is None or self.partitions is None:
                raise NotShared("accounts are used before it is known how many partitions share them")
            self.budgets = Budgets(
                self._plan,
                self.partition,
                self.partitions,
                epoch=self.epoch,
                nothing_before_ms=self.nothing_before_ms,
            )
        return self.budgets


def _is_held(reserved: Reserved, budgeting: Budgeting) -> bool:
    """Whether something is held in the governed account."""
    governing = budgeting.governing
    return governing is not None and any(one.account == governing.account for one in reserved.parts)


def _leads_to(budgets: Budgets, reserve: Reserve, account: str) -> bool:
    return any(one.name == account for one in budgets.plan.chains[reserve.account])
