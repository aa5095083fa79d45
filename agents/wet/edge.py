"""The panel without a broker: sealed entries in, the scores the wet worker would write out.

Taps and cases are made of the entries as the tap makes them, and scored as the worker scores them, so many at a time:
what is learned of some is known to the next ones. Experts are not timed here, so the same input gives the same scores.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sidechain.agents.tap import Decision, Mask, entry_in
from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.at_once import AtOnce
from sidechain.models.policy import Policy
from sidechain.topics.wet import Case, Score, Tap


class Edge:
    """One partition's entries, in the order of their chain."""

    def __init__(self, policy: Policy, secret: bytes | None, together: int, partition: int = 0) -> None:
        """`secret`: what pseudonyms are made with; None: names stay what they are. `together`: taps of one batch."""
        seen = replace(policy, wet=replace(policy.wet, sample_bp=10_000))
        if secret is None:
            fields = tuple(replace(one, personal=False) for one in policy.event.fields)
            seen = replace(seen, event=replace(policy.event, fields=fields))
        self.scorer = Scorer(
            policy.wet,
            AtOnce(),
            max_step_ms=policy.event.max_step_ms,
            signals=[one.name for one in policy.signals if one.learn is not None],
            clock=lambda: 0.0,
        )
        self._mask = Mask(seen, secret)
        self._together = together
        self._partition = partition
        self._offset = 0
        self._taps: list[Tap] = []
        self._cases: list[Case] = []

    def scores(self, entries: Iterable[bytes]) -> Iterator[Score]:
        """Of the decisions among some entries, as soon as there are enough of them."""
        for _ in self._full(entries):
            yield from self._scored()

    def rest(self) -> Iterator[Score]:
        """Of those that are left."""
        yield from self._scored()

    def learn(self, entries: Iterable[bytes]) -> None:
        """The same entries, passed and learned from without a word."""
        for _ in self._full(entries):
            self.learn_rest()

    def learn_rest(self) -> None:
        """Those that are left."""
        if self._taps:
            self.scorer.prime(self._taps)
        self._settle()

    def _scored(self) -> list[Score]:
        scores = self.scorer.score(self._taps) if self._taps else []
        self._settle()
        return scores

    def _settle(self) -> None:
        self.scorer.settle(self._cases)
        self._taps, self._cases = [], []

    def _full(self, entries: Iterable[bytes]) -> Iterator[None]:
        """Whenever so many taps have come together."""
        for line in entries:
            entry = entry_in(line)
            self._offset += 1
            if entry is None:
                continue
            if isinstance(entry, Decision):
                tap = self._mask.tap(self._partition, entry)
                assert tap is not None
                self._taps.append(tap)
            case = self._mask.case(self._partition, self._offset - 1, entry)
            if case is not None and case[1].label is not None:
                self._cases.append(case[1])
            if len(self._taps) >= self._together:
                yield
