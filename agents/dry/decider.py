"""The dry agent: takes a batch, asks the kernel, hands over what it said."""

import asyncio
from collections.abc import AsyncIterable
from typing import Final

from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.outcomes import forwards
from sidechain.agents.lane.pipeline import Output

# Events folded before the event loop gets a turn: what the batches before this one have to ask of the broker would wait
# for a whole batch otherwise, several times each.
TURN: Final = 128


async def decider(batches: AsyncIterable[Batch]) -> None:
    """Dry. Never awaits the wet side."""
    async for batch in batches:
        try:
            outputs = await decide_batch(batch)
        except Exception as fault:  # noqa: BLE001 - the lane must know; Faust would go on with the next batch
            batch.fail(fault)
        else:
            await batch.commit(outputs)


async def decide_batch(batch: Batch) -> list[Output]:
    """What the batch adds to each partition's chain; partitions in order, and in each people's changes, then what
    other partitions ask and give, then events, then outcomes.

    It awaits nothing but turns of the event loop.
    """
    outputs = []
    for partition, fold in batch.folds.items():
        entries, dead_letters, forwarded, sent = [], [], [], []
        for record in batch.control:
            batch.obeying = record  # they are obeyed one by one, so whoever fails here is known at once
            folded = fold.control(record, batch.load, batch.rows)
            entries += folded.entries
            dead_letters += folded.dead_letters
        batch.obeying = None
        transfers = batch.transfers.get(partition, ())
        for first in range(0, len(transfers), TURN):
            answered = fold.transfers(transfers[first : first + TURN])
            entries += answered.entries
            dead_letters += answered.dead_letters
            sent += [*answered.sent]
            await asyncio.sleep(0)
        records = batch.events.get(partition, ())
        for first in range(0, len(records), TURN):
            folded = fold.events(records[first : first + TURN], batch.latest[partition], batch.latest_of)
            entries += folded.entries
            dead_letters += folded.dead_letters
            sent += [*folded.sent]
            await asyncio.sleep(0)
        outcomes = batch.outcomes.get(partition, ())
        for first in range(0, len(outcomes), TURN):
            settled = fold.outcomes(outcomes[first : first + TURN])
            entries += settled.entries
            dead_letters += settled.dead_letters
            forwarded += forwards(settled.misplaced, partition, batch.partitions)
            await asyncio.sleep(0)
        if entries:
            outputs.append(Output(partition, entries, fold.changes(), dead_letters, forwarded, sent))
    return outputs
