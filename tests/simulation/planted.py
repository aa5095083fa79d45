"""Bugs planted on purpose, each one a rule of DESIGN §2 left out, to show that the simulator would find it.

Each breaks our code in one place, as a context manager. Rules that are a second line of defence are not among them:
without one of those, what the first line holds back still does not happen.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Final
from unittest.mock import patch

from sidechain.agents.dry import decider
from sidechain.agents.lane import inputs, lane, log_ends, outcomes, pipeline, producers, takeover, transfers
from sidechain.agents.lane.signed import Books
from sidechain.models.dry import Fold, accounts
from sidechain.models.dry.budget import memory
from tests.simulation.machine import PROCESS


def _link_released(name: str) -> Any:
    """A batch that does not wait for the one before it."""
    begin = pipeline._Link.__init__

    def __init__(self: Any) -> None:  # noqa: N807 - takes its place
        begin(self)
        getattr(self, name).set()

    return patch.object(pipeline._Link, "__init__", __init__)


def sent_early() -> Any:
    """Batch n+1 is sent before every produce of n is acknowledged."""
    return _link_released("acknowledged")


def committed_early() -> Any:
    """Batch n+1 is committed before n is."""
    return _link_released("committed")


def _own_ids(is_own: Callable[[str], bool]) -> Any:
    make = producers._producer

    def _producer(options: Any, config: Any, name: str) -> Any:
        return make(options, config, f"{name}-{PROCESS.get().name}" if is_own(name) else name)

    return patch.object(producers, "_producer", _producer)


def unfenced() -> Any:
    """Every worker has transactional ids of its own: nobody is shut out."""
    return _own_ids(lambda _: True)


def half_fenced() -> Any:
    """Only the first id is shared: a predecessor is shut out of one turn in three."""
    return _own_ids(lambda name: not name.endswith("-0"))


@contextmanager
def uncommitted() -> Iterator[None]:
    """A lane reads records of transactions that were given up."""
    make = log_ends.reader

    def reader(options: Any, **more: Any) -> Any:
        made = make(options, **more)
        made._is_stable = False
        return made

    with patch.object(takeover, "reader", reader), patch.object(inputs, "reader", reader):
        yield


def kept_folds() -> Any:
    """After a failure the lane goes on with the folds it has, although nobody knows what of them was written."""
    discard = lane.Lane._discard

    @wraps(discard)
    async def _discard(self: Any) -> None:
        held = self.held
        await discard(self)
        if held is not None:
            kept[id(self)] = held.folds

    take_over, kept = lane.take_over, {}

    async def again(grounds: Any, shard: int, partitions: Any) -> Any:
        held = await take_over(grounds, shard, partitions)
        for lanes_folds in kept.values():
            if (
                lanes_folds.keys() == held.folds.keys()
                and lanes_folds[partitions[0]].seq > held.folds[partitions[0]].seq
            ):
                held.folds.update(lanes_folds)
        kept.clear()
        return held

    return _both(patch.object(lane.Lane, "_discard", _discard), patch.object(lane, "take_over", again))


def signed_early() -> Any:
    """What a batch will add is signed before the batch is committed."""
    grow = Books.grow

    def early(self: Any, outputs: Any) -> Any:
        twins = grow(self, outputs)
        self.commit(twins)
        return twins

    return patch.object(Books, "grow", early)


def lost_change() -> Any:
    """Of a large batch one changed key is not written down."""
    changes = Fold.changes

    def fewer(self: Any) -> Any:
        found = changes(self)
        keys = [at for at, (name, _) in enumerate(found) if name.startswith(b"k:")]
        if len(keys) > 2:
            del found[keys[0]]
        return found

    return patch.object(Fold, "changes", fewer)


def off_by_one() -> Any:
    """Where a takeover goes on reading is one record too far, when it is not at the beginning."""
    position = takeover._position

    def _position(tp: Any, logical: str, following: int, span: Any) -> int:
        return min(position(tp, logical, following, span) + (following > 0), span.end)

    return patch.object(takeover, "_position", _position)


def waits_for_wet() -> Any:
    """No event is read before the wet side has said something."""
    poll = inputs.SideInputs.poll

    async def waiting(self: Any) -> Any:
        while not any(table.read for table in self.tables.values()):
            await poll(self)
            await lane.asyncio.sleep(0.1)
        return await poll(self)

    return patch.object(inputs.SideInputs, "poll", waiting)


def hasty_outcomes() -> Any:
    """An outcome does not wait for the events that were in the log before it."""

    async def due(self: Any, _reached: Any) -> Any:
        held, self._held = self._held, {}
        return {one: found.records for one, found in held.items()}

    return patch.object(outcomes.Outcomes, "due", due)


def unmarked() -> Any:
    """A forwarded outcome does not say that it is one."""
    forwards = decider.forwards
    return patch.object(decider, "forwards", lambda *given: [one._replace(headers=()) for one in forwards(*given)])


def unforwarded_tail() -> Any:
    """Of the outcomes one batch forwards the last is forgotten."""
    forwards = decider.forwards
    return patch.object(decider, "forwards", lambda *given: forwards(*given)[:-1])


def unwritten_ends() -> Any:
    """That a reservation has ended is not written down: whoever takes over holds it still."""
    changes = accounts.Accounts.changes

    def changed(self: Any) -> Any:
        return (one for one in changes(self) if one[1] is not None or not one[0].startswith(b"reservation:"))

    return patch.object(accounts.Accounts, "changes", changed)


def sealed_twice() -> Any:
    """A credit counts as often as it is read, and a takeover reads the last ones again."""
    begin = transfers.Transfers.begin

    async def again(self: Any, offsets: Any) -> None:
        await begin(self, {one: max(0, offset - 4) for one, offset in offsets.items()})

    return _both(
        patch.object(transfers.Transfers, "begin", again), patch.object(memory.Memory, "has_sealed", lambda *_: False)
    )


def grant_lost() -> Any:
    """What goes to another partition is not in the transaction of its entry."""
    decide = decider.decide_batch

    async def losing(batch: Any) -> Any:
        return [one._replace(transfers=one.transfers[1:]) for one in await decide(batch)]

    return patch.object(decider, "decide_batch", losing)


@contextmanager
def given_before_it_is_sealed() -> Iterator[None]:
    """Transfers are read before the transaction of the entry that made them has ended."""
    make = log_ends.reader

    def reader(options: Any, **more: Any) -> Any:
        made = make(options, **more)
        made._is_stable = False
        return made

    with patch.object(transfers, "reader", reader):
        yield


@contextmanager
def _both(*contexts: Any) -> Iterator[None]:
    with contexts[0], contexts[1]:
        yield


PLANTED: Final[dict[str, Callable[[], Any]]] = {
    one.__name__: one
    for one in (
        sent_early,
        committed_early,
        unfenced,
        half_fenced,
        uncommitted,
        kept_folds,
        signed_early,
        lost_change,
        off_by_one,
        waits_for_wet,
        hasty_outcomes,
        unmarked,
        unforwarded_tail,
        unwritten_ends,
        sealed_twice,
        grant_lost,
        given_before_it_is_sealed,
    )
}


def planted(name: str) -> AbstractContextManager[Any]:
    """Our code with this bug."""
    return PLANTED[name]()  # type: ignore[no-any-return]
