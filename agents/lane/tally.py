"""Counting what was committed, from the bytes that were committed, once per batch."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

from sidechain.agents.lane.pipeline import Committed
from sidechain.agents.metrics import GOVERNED_ANSWERS, MULTIPLIERS, RESERVATIONS, SIGNAL_STATES, UNREADABLE, DryMetrics
from sidechain.models.dry.budget import REASONS as BUDGET_REASONS
from sidechain.models.dry.governance import Event as TripwireEvent
from sidechain.models.dry.state import KEY_PREFIX
from sidechain.models.policy import ACTIONS

# Quotes inside a string are escaped, so these bytes appear as a field's name only. Fields keep their order, so the
# first hit is the entry's own.
_KIND: Final = b'"kind":"'
_REASON: Final = b',"reason":"'
_PARTITIONS: Final = b',"budget":{"partitions":'
_ACTION: Final = b',"action":"'
_SIGNALS: Final = b',"signals":{'
_ACTION_BEGINS: Final = {ord(action[0]): action for action in ACTIONS}  # they differ in their first letter
_REFUSED: Final = {reason: b'{"reason":"%b",' % reason.encode() for reason in BUDGET_REASONS}
_RESERVED: Final = {"reserved": b'"reserved":{"parts":'} | {
    ended: b'"how":"%b"' % ended.encode() for ended in RESERVATIONS if ended != "reserved"
}
_GOVERNED: Final = {answer: b',"governed":{"answer":"%b"' % answer.encode() for answer in GOVERNED_ANSWERS}
_WATCHED: Final = {event: b',"governed":{"event":"%b"' % event.encode() for event in get_args(TripwireEvent)}
_MULTIPLIED: Final = {name: b'["%b",' % name.encode() for name in MULTIPLIERS}
_FOUND: Final = {state: b'{"unknown":"%b"' % state.encode() for state in SIGNAL_STATES} | {"value": b',"model":"'}


def count(metrics: DryMetrics, committed: Committed) -> None:
    """Add one committed transaction to the metrics."""
    if committed.checkpoints:
        metrics.checkpoints.inc(committed.checkpoints)
        metrics.last_checkpoint.set_to_current_time()
    if not committed.outputs:
        return
    for output in committed.outputs:
        entries = [entry for _, entry in output.entries]
        _count_decisions(metrics, entries)
        metrics.evicted.inc(sum(1 for name, value in output.changes if value is None and name.startswith(KEY_PREFIX)))
        for letter in output.dead_letters:
            metrics.dead_letters[dict(letter[2])["dlq.reason"].decode()].inc()
        metrics.forwarded.inc(len(output.forwards))
    metrics.batches.inc()
    metrics.batch_seconds.observe(committed.total_s)
    metrics.transaction_seconds.observe(committed.transaction_s)
    metrics.last_commit.set_to_current_time()


def _count_decisions(metrics: DryMetrics, entries: Sequence[bytes]) -> None:
    """Most entries are decisions, so those are counted without a step of ours per entry wherever that can be."""
    begins = [entry[at + len(_ACTION)] for entry in entries if (at := entry.find(_ACTION)) > 0]
    for letter, times in Counter(begins).items():
        metrics.decisions[_ACTION_BEGINS[letter]].inc(times)
    metrics.entries["decision"].inc(len(begins))
    ends: list[bytes] = []  # of entries, from where accounts can be named in them
    if len(begins) < len(entries):
        for entry in entries:
            if (kind := _text(entry, _KIND)) != "decision":
                metrics.entries[kind].inc()
                if kind == "settlement":
                    ends.append(entry)
                if kind == "refused-outcome":
                    reason = _text(entry, _REASON)
                    metrics.refused_outcomes[reason if reason in metrics.refused_outcomes else UNREADABLE].inc()
    signals = b"".join([entry[entry.rfind(_SIGNALS) :] for entry in entries])
    for state, written in _FOUND.items():
        if times := signals.count(written):
            metrics.signals[state].inc(times)
    _count_reservations(metrics, signals + b"".join(ends))


def _count_reservations(metrics: DryMetrics, said: bytes) -> None:
    if _PARTITIONS not in said:
        return
    for what, written in _RESERVED.items():
        metrics.reservations[what].inc(said.count(written))
    for reason, written in _REFUSED.items():
        metrics.refused_reservations[reason].inc(said.count(written))
    if b',"governed":{' in said:
        for answer, written in _GOVERNED.items():
            metrics.governed[answer].inc(said.count(written))
        for name, written in _MULTIPLIED.items():
            metrics.multipliers[name].inc(said.count(written))
        for event, written in _WATCHED.items():
            metrics.tripwire[event].inc(said.count(written))


def _text(entry: bytes, field: bytes) -> str:
    start = entry.find(field) + len(field)
    return entry[start : entry.find(b'"', start)].decode()
