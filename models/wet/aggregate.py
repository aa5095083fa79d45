"""What outcomes say about something many keys share: the share of one label among those known, in a moving window.

A case is a decision, and says what its signals are of, or a settlement, and says how a decision turned out. Outcomes
come late and of the decision alone, so decisions are remembered until theirs comes, as many of a partition as its
chain settles. A label counts at its own event time, but no later than the decisions have come to: an outcome
from the future counts now. A window ends with the newest pane that any subject of the signal has an outcome
in, and its value stands as of the beginning of the subject's own newest pane.

The same cases in the same order make the same words, and what was told is all there is to go on from: `restore`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from sidechain.models.policy import Learn, Policy
from sidechain.models.wet.risk import Clock

MAX_SUBJECTS: Final = 100_000  # of all signals together; the one heard of longest ago is forgotten first
WHOLE_BP: Final = 10_000
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))

Pane = tuple[int, int, int]  # number of the pane since 1970, outcomes known, those with the label
Subject = tuple[str, str]  # a signal, and what it is of
Became = Literal["decision", "learned", "undecided", "late", "repeated"]


class Word(NamedTuple):
    """What is known of one subject now."""

    signal: str
    of: str
    value_bp: int | None  # None: too few outcomes are known
    model: str
    as_of: int  # event time, ms: the beginning of the newest pane
    known: int
    hits: int  # those with the label
    rationale: str
    panes: tuple[Pane, ...]  # oldest first; the newest is `as_of`'s


class Case(NamedTuple):
    """One decision, or one label of one."""

    offset: int  # of its entry in the chain's log
    seq: int  # of the decision
    at: int  # event time, ms: of the decision, or of the outcome
    of: Mapping[str, str] | None = None  # what the signals of a decision are about
    label: str | None = None


class _Partition:
    """What is held about one chain."""

    def __init__(self) -> None:
        self.offset = -1  # of the last case taken
        self.last = -1  # seq of the last decision
        self.decisions: OrderedDict[int, tuple[Subject, ...]] = OrderedDict()  # without an outcome so far


class Shares:
    """Every subject's window, and the decisions whose outcome is to come. Bounded; what is forgotten is counted."""

    def __init__(self, policy: Policy, max_subjects: int = MAX_SUBJECTS) -> None:
        self.forgotten = 0
        self._learned = learned(policy)
        self._names = {name: model_name(one) for name, one in self._learned.items()}
        self._clock = Clock(policy.event.max_step_ms)
        self._horizon = policy.event.duplicate_horizon
        self._max = max_subjects
        self._partitions: dict[int, _Partition] = {}
        self._windows: OrderedDict[Subject, list[Pane]] = OrderedDict()  # the one heard of longest ago first
        self._newest: dict[str, int] = {}  # signal -> pane of the newest outcome
        self._changed: dict[Subject, None] = {}

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def decisions(self) -> int:
        """How many decisions are remembered whose outcome is to come."""
        return sum(len(one.decisions) for one in self._partitions.values())

    def take(self, partition: int, case: Case) -> Became:
        """One case. Those of a partition come in the order of its chain; one taken before changes nothing."""
        held = self._held(partition)
        if case.offset <= held.offset:
            return "repeated"
        held.offset = case.offset
        if case.label is None:
            self._decided(held, case)
            return "decision"
        subjects = held.decisions.pop(case.seq, None)
        if subjects is None:
            return "undecided"
        at = min(case.at, self._clock.now)
        taken = [self._count(one, at, case.label) for one in subjects]
        return "learned" if any(taken) else "late"

    def remember(self, partition: int, case: Case) -> None:
        """A case taken before a restart: its decision may still be settled, and its label is in the windows already."""
        held = self._held(partition)
        if case.offset <= held.offset:
            return
        held.offset = case.offset
        if case.label is None:
            self._decided(held, case)
        else:
            held.decisions.pop(case.seq, None)

    def restore(self, subject: Subject, panes: Sequence[Pane] | None) -> None:
        """Go on from the last word about a subject; None: it was forgotten."""
        self._windows.pop(subject, None)
        if panes and subject[0] in self._learned:
            self._windows[subject] = list(panes)
            self._newest[subject[0]] = max(self._newest.get(subject[0], 0), panes[-1][0])
            self._bound()

    def told(self) -> list[tuple[Subject, Word | None]]:
        """What changed since the last call; None: nothing is known of it any more."""
        self._expire()
        changed, self._changed = self._changed, {}
        return [(one, self._word(one, panes) if (panes := self._windows.get(one)) else None) for one in changed]

    def _held(self, partition: int) -> _Partition:
        if partition not in self._partitions:
            self._partitions[partition] = _Partition()
        return self._partitions[partition]

    def _decided(self, held: _Partition, case: Case) -> None:
        if case.seq <= held.last:
            held.decisions.clear()  # the chain began anew, and settles nothing of before
        held.last = case.seq
        self._clock.hear(case.at)
        of = case.of or {}
        subjects = tuple((name, of[name]) for name in self._learned if name in of)
        if subjects:
            held.decisions[case.seq] = subjects
        while held.decisions and next(iter(held.decisions)) <= case.seq - self._horizon:
            held.decisions.popitem(last=False)

    def _count(self, subject: Subject, at: int, label: str) -> bool:
        learn = self._learned[subject[0]]
        pane, hit = at // learn.pane_ms, label == learn.share
        newest = max(self._newest.get(subject[0], pane), pane)
        if pane <= newest - learn.panes:
            return False
        self._newest[subject[0]] = newest
        self._windows[subject] = counted(self._windows.get(subject, ()), pane, newest - learn.panes, hit=hit)
        self._windows.move_to_end(subject)
        self._changed[subject] = None
        self._bound()
        return True

    def _bound(self) -> None:
        if len(self._windows) > self._max:
            subject, _ = self._windows.popitem(last=False)
            self._changed[subject] = None
            self.forgotten += 1

    def _expire(self) -> None:
        """Forget who was not heard of for a whole window; the order is that of arrival, so the first are the oldest."""
        while self._windows:
            subject, panes = next(iter(self._windows.items()))
            if panes[-1][0] > self._newest[subject[0]] - self._learned[subject[0]].panes:
                return
            del self._windows[subject]
            self._changed[subject] = None

    def _word(self, subject: Subject, panes: Sequence[Pane]) -> Word:
        learn = self._learned[subject[0]]
        known, hits = sum(one[1] for one in panes), sum(one[2] for one in panes)
        value = hits * WHOLE_BP // known if known >= learn.least else None
        said = f"{hits} of {known} outcomes known within {span(learn.window_ms)} were {learn.share}"
        as_of = panes[-1][0] * learn.pane_ms
        return Word(*subject, value, self._names[subject[0]], as_of, known, hits, said, tuple(panes))


def learned(policy: Policy) -> dict[str, Learn]:
    """The signals of a policy that are learned from outcomes, and how."""
    return {one.name: one.learn for one in policy.signals if one.learn is not None}


def model_name(learn: Learn) -> str:
    """What entries call whoever said it: `bad-share-28d`."""
    return f"{learn.share}-share-{span(learn.window_ms)}"


def counted(panes: Iterable[Pane], pane: int, behind: int, *, hit: bool) -> list[Pane]:
    """The panes after `behind`, oldest first, with one outcome more in `pane`."""
    by_number = {one[0]: one for one in panes if one[0] > behind}
    _, known, hits = by_number.get(pane, (pane, 0, 0))
    by_number[pane] = (pane, known + 1, hits + hit)
    return sorted(by_number.values())


def span(milliseconds: int) -> str:
    """`28d`, as packs write it."""
    return next(f"{milliseconds // unit}{name}" for unit, name in _UNITS if milliseconds % unit == 0)
