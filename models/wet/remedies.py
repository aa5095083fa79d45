"""What would help a bottleneck, as one change a person may make; and how seldom that is said.

Nothing here changes anything. A stage that has stopped gets no proposal: it wants a look, which is an alert's business.
"""

from typing import Final, Literal, NamedTuple

from sidechain.models.wet.bottleneck import Bottleneck, Cause

What = Literal["workers", "batch_size", "tap_sampling", "threshold", "route"]

COOL_MS: Final = 300_000  # between two proposals
SAME_MS: Final = 86_400_000  # before the same is proposed again
BATCH_MOST: Final = 16_000
SAMPLE_LEAST_BP: Final = 500
SPARE: Final = 0.9  # of what a stage can do, what it should be given


class Given(NamedTuple):
    """What is set at the moment."""

    batch_size: int  # batch_max_records
    sample_bp: int  # the pack's wet.sample_bp


class Remedy(NamedTuple):
    """One change: `stage`.`what` from `before` to `after`, as texts, and why it helps."""

    stage: str
    what: What
    before: str
    after: str
    why: str

    @property
    def name(self) -> str:
        """What it would set, `wet.workers=2`."""
        return f"{self.stage}.{self.what}={self.after}"


def remedy(found: Bottleneck, given: Given) -> Remedy | None:
    """What to propose; None where no setting would help."""
    workers, partitions = int(found.figures["workers"] or 1), int(found.figures["partitions"] or 1)
    if found.cause == "stopped" or found.stage not in ("dry", "tap", "wet"):
        return None
    if found.cause == "hot-partition":
        why = (
            "More workers would not help, because a partition has one reader: send these keys elsewhere, or split them."
        )
        return Remedy(found.stage, "route", "by key", "spread", why)
    if found.cause in _WANTS_WORKERS and workers < partitions:
        why = "Partitions are shared out anew; give it a processor of its own, or it shares the one there is."
        return Remedy(found.stage, "workers", str(workers), str(workers + 1), why)
    if found.stage == "dry":
        after = min(2 * given.batch_size, BATCH_MOST)
        why = "Larger batches need fewer transactions, and each of them takes longer."
        return (
            None if after == given.batch_size else Remedy("dry", "batch_size", str(given.batch_size), str(after), why)
        )
    if found.stage == "wet" and found.cause == "saturated":
        why = "Scores below the threshold are told without their full vector, which costs more than the score."
        return Remedy("wet", "threshold", "as it is", "higher", why)
    return _sampled(found, given)


_WANTS_WORKERS: Final[frozenset[Cause]] = frozenset({"starved", "saturated"})


def _sampled(found: Bottleneck, given: Given) -> Remedy | None:
    """As large a share as the stage keeps up with, by how its lag grew within the looks."""
    rate, grown = float(found.figures["rate"] or 0), float(found.figures["grown_per_s"] or 0)
    share = SPARE * rate / max(rate + grown, 1.0)
    after = max(SAMPLE_LEAST_BP, int(given.sample_bp * share) // 100 * 100)
    if after >= given.sample_bp:
        return None
    why = "A sample that is scored in time is worth more than all of it too late; decisions do not change."
    return Remedy("tap", "tap_sampling", str(given.sample_bp), str(after), why)


class CoolDown:
    """Says whether something may be proposed now. Bounded: what is older than SAME_MS is forgotten."""

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._proposed: dict[str, int] = {}

    def remember(self, name: str, at_ms: int) -> None:
        """It was proposed then, perhaps by whoever ran before us."""
        self._proposed[name] = max(at_ms, self._proposed.get(name, at_ms))
        self._last_ms = max(at_ms, self._last_ms or at_ms)

    def allows(self, name: str, at_ms: int) -> bool:
        """COOL_MS after the last proposal, and SAME_MS after the same one."""
        self._proposed = {one: when for one, when in self._proposed.items() if at_ms - when < SAME_MS}
        is_cool = self._last_ms is None or at_ms - self._last_ms >= COOL_MS
        return is_cool and name not in self._proposed
