"""What would help a bottleneck, as one change a person may make; and how seldom that is said.

Nothing here changes anything. A stage that has stopped gets no proposal: it wants a look, which is an alert's business.
"""

from math import ceil
from typing import Final, Literal, NamedTuple

from sidechain.models.wet.bottleneck import Bottleneck, Cause

What = Literal["workers", "share", "batch_size", "tap_sampling", "threshold", "route"]

COOL_MS: Final = 300_000  # between two proposals
SAME_MS: Final = 86_400_000  # before the same is proposed again
BATCH_MOST: Final = 16_000
SAMPLE_LEAST_BP: Final = 500
SPARE: Final = 0.9  # of what a stage can do, what it should be given
FULL: Final = 0.5  # of a batch: from there on its size may be what limits a partition
HARDLY_MORE: Final = 1.2  # times what comes to a stage may seem to come to one partition: they are measured apart
EXPLAIN_MOST_BP: Final = 8_400  # beyond, scores that add to a risk would have no vector
EDGES_BP: Final = (0, 5_000, 6_000, 7_000, 7_500, 8_000, 8_100, 8_200, 8_300, EXPLAIN_MOST_BP)  # of scores counted


class Given(NamedTuple):
    """What is set at the moment."""

    batch_size: int  # batch_max_records
    sample_bp: int  # the pack's wet.sample_bp
    explain_above_bp: int = EXPLAIN_MOST_BP  # the pack's wet.explain_above


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
        return f"{self.setting}={self.after}"

    @property
    def setting(self) -> str:
        """What it is about, `wet.workers`."""
        return f"{self.stage}.{self.what}"


def remedy(found: Bottleneck, given: Given) -> Remedy | None:
    """What to propose; None where no setting would help."""
    workers, partitions = int(found.figures["workers"] or 1), int(found.figures["partitions"] or 1)
    if found.cause == "stopped" or found.stage not in ("dry", "tap", "wet"):
        return None
    if found.cause == "hot-partition":
        return _batched(found, given, FULL) or _spread(found)
    if found.cause == "saturated" and (more := _allowed(found, workers)) is not None:
        return more
    if found.cause in _WANTS_WORKERS and workers < partitions:
        why = "Partitions are shared out anew; give it a processor of its own, or it shares the one there is."
        return Remedy(found.stage, "workers", str(workers), str(workers + 1), why)
    if found.stage == "dry":
        return _batched(found, given, 0.0)
    if found.stage == "wet" and found.cause == "saturated":
        return _explained(found, given) or _sampled(found, given)
    return _sampled(found, given)


_WANTS_WORKERS: Final[frozenset[Cause]] = frozenset({"starved", "saturated"})


def _allowed(found: Bottleneck, workers: int) -> Remedy | None:
    """As much of a processor for each worker as what comes needs, in steps of a twentieth; at most one."""
    allowed, cpu = float(found.figures.get("allowed") or workers), float(found.figures["cpu"] or 0.0)
    rate, grown = float(found.figures["rate"] or 0.0), max(0.0, float(found.figures["grown_per_s"] or 0.0))
    if allowed >= workers or not rate:
        return None
    needs = cpu * (rate + grown) / rate / workers / SPARE
    after = min(1.0, ceil(20 * max(needs, allowed / workers + 0.01)) / 20)
    why = (
        f"It allows itself {allowed / workers:.3g} of a processor (`wet_share`) and does {rate:,.0f} of"
        f" {rate + grown:,.0f} records a second with it; that much is needed for all. Decisions may wait longer for the"
        " processor then: see whether they do."
    )
    return Remedy(found.stage, "share", f"{allowed / workers:.3g}", f"{after:.3g}", why)


def _batched(found: Bottleneck, given: Given, full: float) -> Remedy | None:
    """Twice the batch, where batches are at least so full; a batch waits for its transaction, whatever is in it."""
    after, a_batch = min(2 * given.batch_size, BATCH_MOST), float(found.figures.get("a_batch") or 0.0)
    if found.stage != "dry" or after == given.batch_size or a_batch < full * given.batch_size:
        return None
    why = "Larger batches need fewer transactions, and each of them takes longer."
    if a_batch:
        why += f" At the moment {a_batch:,.0f} records are in one, on average, and {given.batch_size:,} may be."
    return Remedy("dry", "batch_size", str(given.batch_size), str(after), why)


def _spread(found: Bottleneck) -> Remedy | None:
    """As much of what comes as its one reader keeps up with, by how its lag grew within the looks."""
    figures, partition = found.figures, found.figures.get("partition")
    comes = float(figures["rate"] or 0.0) + max(0.0, float(figures["grown_per_s"] or 0.0))
    arrivals = float(figures.get("arrivals") or 0.0)
    done = arrivals - float(figures.get("hot_grown_per_s") or 0.0)
    if not 0.0 < SPARE * done < arrivals <= HARDLY_MORE * comes:
        return None
    now, fits, parts = min(1.0, arrivals / comes), SPARE * done / comes, ceil(arrivals / (SPARE * done))
    why = (
        f"{arrivals:,.0f} of {max(comes, arrivals):,.0f} records a second come to partition {partition}, and its one"
        f" reader does {done:,.0f}; more workers would not help. Spread its keys by a finer one: events copied with"
        " `sidechain rekey --field` to the topic of a pack that has that field as its key."
    )
    after = f"over {parts} partitions, {fits:.0%} of what comes to each at most, {now:.0%} now"
    return Remedy(found.stage, "route", f"keys of partition {partition} together", after, why)


def _explained(found: Bottleneck, given: Given) -> Remedy | None:
    """The lowest threshold that frees as much of the processor as the stage lacks; None where none frees enough."""
    rate, grown = float(found.figures["rate"] or 0.0), max(0.0, float(found.figures["grown_per_s"] or 0.0))
    explaining, cpu = float(found.figures.get("explaining") or 0.0), float(found.figures.get("cpu") or 0.0)
    own = max(edge for edge in EDGES_BP if edge <= given.explain_above_bp)  # where scores are counted from
    now = float(found.figures.get(f"explained_from_{own}") or 0.0)
    lacks = 1.0 - SPARE * rate / max(rate + grown, 1.0)
    if not (cpu and now):
        return None
    for edge in EDGES_BP:
        left = float(found.figures.get(f"explained_from_{edge}") or 0.0)
        frees = explaining / cpu * (1.0 - left / now)
        if given.explain_above_bp < edge and frees >= lacks:
            why = (
                f"Full vectors take {explaining / cpu:.0%} of its processor, and {left:,.1f} of {now:,.1f} a second are"
                f" of scores from {edge} on: the others' would free {frees:.0%}, and {lacks:.0%} is lacking."
            )
            return Remedy("wet", "threshold", str(given.explain_above_bp), str(edge), why)
    return None


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
    """Says whether something may be proposed now. Bounded: what is older than SAME_MS is forgotten.

    A change is the same as long as what it would replace is: its new value is computed, and another at each look.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._proposed: dict[str, int] = {}

    def remember(self, setting: str, before: str, at_ms: int) -> None:
        """It was proposed then, perhaps by whoever ran before us."""
        name = f"{setting} {before}"
        self._proposed[name] = max(at_ms, self._proposed.get(name, at_ms))
        self._last_ms = max(at_ms, self._last_ms or at_ms)

    def allows(self, setting: str, before: str, at_ms: int) -> bool:
        """COOL_MS after the last proposal, and SAME_MS after the same one."""
        self._proposed = {one: when for one, when in self._proposed.items() if at_ms - when < SAME_MS}
        is_cool = self._last_ms is None or at_ms - self._last_ms >= COOL_MS
        return is_cool and f"{setting} {before}" not in self._proposed
