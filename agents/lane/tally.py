"""Counting what was committed, from the bytes that were committed, once per batch."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from sidechain.agents.lane.pipeline import Committed
from sidechain.agents.metrics import ENTRY_KINDS, SIGNAL_STATES, DryMetrics
from sidechain.models.policy import ACTIONS

# Quotes inside a string are escaped, so these bytes appear as a field's name only. Fields keep their order, so the
# first hit is the entry's own.
_KIND: Final = b'"kind":"'
_ACTION: Final = b',"action":"'
_SIGNALS: Final = b',"signals":{'
_KINDS: Final = {kind.encode(): kind for kind in ENTRY_KINDS}
_ACTIONS: Final = {action.encode(): action for action in ACTIONS}
_UNKNOWN: Final = {state: b'{"unknown":"%b"}' % state.encode() for state in SIGNAL_STATES if state != "value"}
_VALUE: Final = b':{"value":'


def count(metrics: DryMetrics, committed: Committed) -> None:
    """Add one committed batch to the metrics."""
    kinds: Counter[bytes] = Counter()
    actions: Counter[bytes] = Counter()
    signals: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for output in committed.outputs:
        for _, entry in output.entries:
            kinds[_text_at(entry, _KIND)] += 1
            if (at := entry.find(_ACTION)) > 0:
                actions[_text(entry, at + len(_ACTION))] += 1
                _count_signals(entry, signals)
        reasons.update(_reasons(one[2] for one in output.dead_letters))
    for kind, times in kinds.items():
        metrics.entries[_KINDS[kind]].inc(times)
    for action, times in actions.items():
        metrics.decisions[_ACTIONS[action]].inc(times)
    for found, times in signals.items():
        metrics.signals[found].inc(times)
    for reason, times in reasons.items():
        metrics.dead_letters[reason].inc(times)
    metrics.batches.inc()
    metrics.transaction_seconds.observe(committed.transaction_s)
    metrics.last_commit.set_to_current_time()


def _count_signals(entry: bytes, signals: Counter[str]) -> None:
    used = entry[entry.rfind(_SIGNALS) :]
    signals["value"] += used.count(_VALUE)
    if b'{"unknown"' in used:
        for state, written in _UNKNOWN.items():
            signals[state] += used.count(written)


def _reasons(headers: Iterable[tuple[tuple[str, bytes], ...]]) -> Iterable[str]:
    for told in headers:
        yield dict(told)["dlq.reason"].decode()


def _text_at(entry: bytes, name: bytes) -> bytes:
    return _text(entry, entry.find(name) + len(name))


def _text(entry: bytes, start: int) -> bytes:
    return entry[start : entry.find(b'"', start)]
