"""The trainer without a broker: sealed entries in, a champion and its card out, or why there is none.

    found = trained(policy, {0: Path("decisions-0.ndjson")}, told=print)
    found.ended.trial.verdict(), found.card

Chains are read twice. The first time they tell how many outcomes there are, and so where the trial begins: the newest
TRIAL of them are kept for it. The second time they pass through the trainer's own head: everything known at that moment
is what the one challenger is fitted to. It is tried on decisions after it, each scored before its outcome was known.
The same files give the same bytes, card and model: nothing here reads a clock, and a card is dated by its data.

Chains of several partitions are put together by event time. They are believed: `sidechain verify` checks them.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush, merge
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from sidechain.agents.problems import UsageProblem
from sidechain.agents.tap import Decision, Settlement, entry_in, passing
from sidechain.agents.verify_files import records_of
from sidechain.agents.wet.feed import UNREADABLE
from sidechain.models.policy import Policy
from sidechain.models.wet import boosted_fit
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.card import Card, card_of, data_of
from sidechain.models.wet.examples import EARLY, WAITING, Label
from sidechain.models.wet.forest import matrix
from sidechain.models.wet.inputs import columns, values
from sidechain.models.wet.risk import Clock
from sidechain.models.wet.training import FEWEST_BAD, FIRST_FIT, Ended, Request, Training
from sidechain.models.wet.trial import STATED, Thresholds

TRIAL: Final = 0.2  # of the outcomes, the newest ones
ROWS: Final = 2_000  # decisions taken at once
MINUTE_MS: Final = 60_000
ENTRIES: Final = "dry.decisions"
Told = Callable[[int], None]  # told how many entries were read since the last call
Fit = Callable[[Request], Boosted]


class Beside(NamedTuple):
    """Who is champion: what a challenger is held against."""

    model: Boosted
    until: int  # event time up to which outcomes were known when it was fitted, ms


class Bounds(NamedTuple):
    """What is asked of a fit and of its trial."""

    first_fit: int = FIRST_FIT
    thresholds: Thresholds = STATED
    trial: float = TRIAL


USUAL: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Trained:
    """A trial that is over, and what it was about."""

    ended: Ended
    card: Card
    unreadable: int  # lines that are no entries; they were passed over


class _Placed(NamedTuple):
    """One entry, and where it stands among those of all chains: by event time, then by partition and order."""

    now: int  # event time its chain has come to, ms
    partition: int
    number: int
    entry: Decision | Settlement


@dataclass
class Chains:
    """The files of some chains. Read as often as asked for."""

    files: Mapping[int, Path]
    max_step_ms: int
    told: Told
    unreadable: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)  # partition -> first and last line with an entry

    def __iter__(self) -> Iterator[_Placed]:
        self.unreadable = 0
        self.ranges = {}
        return merge(*(self._chain(one, file) for one, file in sorted(self.files.items())), key=lambda one: one[:3])

    def ranges_told(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Which lines were read, as a card says it."""
        return {ENTRIES: {str(one): found for one, found in sorted(self.ranges.items())}}

    def _chain(self, partition: int, file: Path) -> Iterator[_Placed]:
        clock = Clock(self.max_step_ms)
        for number, line in enumerate(records_of(file)):
            if number % ROWS == ROWS - 1:
                self.told(ROWS)
            try:
                entry = entry_in(line)
            except UNREADABLE:
                self.unreadable += 1
                continue
            first, _ = self.ranges.get(partition, (number, number))
            self.ranges[partition] = (first, number)
            if isinstance(entry, Decision):
                clock.hear(entry.at)
            elif entry is None or entry.label is None:
                continue
            yield _Placed(clock.now, partition, number, entry)


class Survey:
    """How many decisions have an outcome, by the minute they were made in. Bounded by the minutes there are."""

    def __init__(self, early: int = EARLY) -> None:
        """`early`: outcomes held whose time has not come; beyond them the earliest are taken for known."""
        self.decisions = 0
        self._early = early
        self.known: Counter[int] = Counter()  # minute of the decision -> outcomes
        self.bad: Counter[int] = Counter()

    def take(self, entries: Iterator[_Placed]) -> None:
        """All of them. An outcome of a time the decisions never come to is none, as it is none for the trainer."""
        waiting: OrderedDict[tuple[int, int], int] = OrderedDict()
        ahead: list[tuple[int, int, bool]] = []  # a heap: time of the outcome, minute of the decision, is bad
        for now, partition, _, entry in entries:
            if isinstance(entry, Decision):
                self.decisions += 1
                waiting[partition, entry.seq] = min(entry.at, now) // MINUTE_MS
                if len(waiting) > WAITING:
                    waiting.popitem(last=False)
            elif (minute := waiting.pop((partition, entry.settles), None)) is not None:
                # Most outcomes are sealed a moment before the first decision that is later than they are.
                heappush(ahead, (entry.at, minute, entry.label == "bad"))
            while ahead and (ahead[0][0] <= now or len(ahead) > self._early):
                self._count(*heappop(ahead)[1:])

    def _count(self, minute: int, is_bad: bool) -> None:
        self.known[minute] += 1
        self.bad[minute] += is_bad

    def trial_from(self, bounds: Bounds) -> int:
        """Event time in ms from which decisions are of the trial. Raises `UsageProblem` where there is too little."""
        asked = bounds.thresholds
        total, total_bad = self.known.total(), self.bad.total()
        if not self.decisions:
            raise UsageProblem("there is no decision in these files: name entries, as `sidechain export` writes them")
        if not total:
            raise UsageProblem(
                f"none of the {self.decisions:,} decisions has an outcome with a label yet; `sidechain outcomes` sends "
                "them, and a model is learned from those"
            )
        share = min(int(total * bounds.trial), asked.labels_most)
        labels = bad = 0
        for minute in sorted(self.known, reverse=True):
            labels += self.known[minute]
            bad += self.bad[minute]
            if labels >= max(share, asked.labels) and bad >= asked.bad:
                break
        left, left_bad = total - labels, total_bad - bad
        if labels < asked.labels or bad < asked.bad or left < bounds.first_fit or left_bad < FEWEST_BAD:
            raise UsageProblem(
                f"{total:,} outcomes, {total_bad:,} of them bad, are too few: a trial needs {asked.labels:,} with "
                f"{asked.bad:,} bad ones, and a fit {bounds.first_fit:,} with {FEWEST_BAD} bad ones that were known "
                "before; come back with more"
            )
        return minute * MINUTE_MS


class _Feed:
    """Entries on their way to the trainer's head, so many at a time."""

    def __init__(self, policy: Policy, training: Training) -> None:
        self.training = training
        self.ended: Ended | None = None
        self._may_pass = passing(policy)
        self._decisions: list[tuple[int, Decision]] = []
        self._labels: list[Label] = []

    def add(self, partition: int, entry: Decision | Settlement) -> None:
        """The next one."""
        if isinstance(entry, Decision):
            self._decisions.append((partition, entry))
        else:
            self._labels.append(Label((partition, entry.settles), entry.at, entry.label == "bad"))
        if max(len(self._decisions), len(self._labels)) >= ROWS:
            self.pass_on()

    def pass_on(self) -> None:
        """Those that are held; then look whether the trial is over."""
        training, decisions, labels = self.training, self._decisions, self._labels
        self._decisions, self._labels = [], []
        if decisions:
            training.decided(
                [(partition, one.seq) for partition, one in decisions],
                np.array([one.at for _, one in decisions], dtype=np.int64),
                matrix(training.names, [self._read(one) for _, one in decisions]).astype(np.float32),
                np.array([one.score_bp for _, one in decisions], dtype=np.float64),
            )
        for label in labels:
            training.told(label)
        self.ended = training.judge() or self.ended

    def _read(self, one: Decision) -> dict[str, int | None]:
        """What the tap would pass of it, by the names of columns."""
        features = {name: value for name, value in one.features.items() if name in self._may_pass}
        return values(features, {name: signal.value for name, signal in one.signals.items()})


def fitted(asked: Request) -> Boosted:
    """Here and now."""
    return boosted_fit.fit(asked.rows, asked.is_bad, asked.names, asked.seed, asked.version)


def trained(
    policy: Policy,
    files: Mapping[int, Path],
    told: Told,
    say: Callable[[str], None],
    *,
    beside: Beside | None = None,
    bounds: Bounds = USUAL,
    fit: Fit = fitted,
) -> Trained:
    """One challenger, and its trial. `files`: of entries, by partition. Raises `UsageProblem`.

    `told`: how many entries were read since the last call, of both readings. `beside`: None stands for the rules.
    """
    chains = Chains(files, policy.event.max_step_ms, told)
    survey = Survey()
    survey.take(iter(chains))
    start = survey.trial_from(bounds)
    training = Training(
        columns(policy),
        max_step_ms=policy.event.max_step_ms,
        groups=policy.wet.groups,
        thresholds=bounds.thresholds,
        until_closed=True,
    )
    if beside is not None:
        training.champion_is(beside.model, beside.until)
    feed, is_begun = _Feed(policy, training), False
    for now, partition, _, entry in chains:
        if not is_begun and now >= start:
            is_begun = True
            feed.pass_on()
            _begin(training, fit, say)
        feed.add(partition, entry)
    feed.pass_on()
    ended = feed.ended or training.close()
    assert ended is not None  # a decision of the minute it begins in was seen
    card = card_of(
        ended,
        data_of(ended.challenger.request, chains.ranges_told(), training.examples.forgotten),
        policy=policy.ref,
        made=training.examples.now_ms,
        parameters=boosted_fit.parameters(),
        libraries=boosted_fit.libraries(),
    )
    return Trained(ended, card, chains.unreadable)


def _begin(training: Training, fit: Fit, say: Callable[[str], None]) -> None:
    """Fit to what is known now, and put that on trial."""
    known, bad = training.examples.known, training.examples.bad
    if min(bad, known - bad) < FEWEST_BAD:
        raise UsageProblem(
            f"when the trial would begin, {known:,} outcomes were known, {bad:,} of them bad, for they come late; a "
            f"model needs {FEWEST_BAD} of each: come back with more"
        )
    asked = training.request()
    say(f"fitting to {known:,} outcomes, {bad:,} of them bad")
    training.begin(fit(asked), asked)
