"""The dry agent: takes a batch, asks the kernel, hands over what it said."""

from collections.abc import AsyncIterable

from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.pipeline import Output


async def decider(batches: AsyncIterable[Batch]) -> None:
    """Dry. Never awaits the wet side."""
    async for batch in batches:
        try:
            outputs = decide_batch(batch)
        except Exception as fault:  # noqa: BLE001 - the lane must know; Faust would go on with the next batch
            batch.fail(fault)
        else:
            await batch.commit(outputs)


def decide_batch(batch: Batch) -> list[Output]:
    """What the batch adds to each partition's chain; partitions in order, people's changes before events."""
    outputs = []
    for partition, fold in batch.folds.items():
        entries, dead_letters = [], []
        for record in batch.control:
            folded = fold.control(record, batch.load)
            entries += folded.entries
            dead_letters += folded.dead_letters
        if records := batch.events.get(partition):
            folded = fold.events(records, batch.latest[partition])
            entries += folded.entries
            dead_letters += folded.dead_letters
        if entries:
            outputs.append(Output(partition, entries, fold.changes(), dead_letters))
    return outputs
