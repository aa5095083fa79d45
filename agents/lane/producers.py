"""The transactional producers of a shard, and how opening them shuts every predecessor out.

Ids are `<prefix>dry-<shard>-0` to `-7`. All eight are initialised whatever the number in use is: a predecessor of
another version may have used more, and an id that is not initialised is an id that is not fenced.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from sidechain.agents.settings import Config

log = logging.getLogger(__name__)

IDS: Final = 8
IN_USE: Final = 3  # one fills while one commits; the third hides the pause Kafka makes behind each commit
BATCH_BYTES: Final = 768 * 1024  # a single larger record still goes out, in a batch of its own
CLOSE_S: Final = 5.0


async def open_producers(options: Mapping[str, Any], config: Config, shard: int) -> list[AIOKafkaProducer]:
    """Initialise all ids at once and return the producers in use; every earlier producer of them is fenced."""
    everyone = [_producer(options, config, f"{config.topic_prefix}dry-{shard}-{one}") for one in range(IDS)]
    try:
        async with asyncio.TaskGroup() as group:
            for one in everyone:
                group.create_task(_started(one))
    except BaseException as fault:
        await close_producers(everyone)
        raise _single(fault) from fault
    await close_producers(everyone[IN_USE:])
    return everyone[:IN_USE]


async def _started(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except AssertionError as fault:
        # aiokafka takes for granted that the cluster names a broker. While its only one is fenced it names none.
        raise KafkaConnectionError(f"the cluster names no broker at the moment ({fault})") from fault


async def close_producers(producers: Sequence[AIOKafkaProducer]) -> None:
    """Disconnect. What was sent and not committed stays open until a successor fences it or its time is up."""
    for outcome in await asyncio.gather(*(_close(one) for one in producers), return_exceptions=True):
        if isinstance(outcome, Exception):
            log.debug("a producer did not close cleanly: %r", outcome)
    for one in producers:
        retrieve(one)


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()  # `stop` waits for deliveries; a fenced producer's never come


def retrieve(producer: AIOKafkaProducer) -> None:
    """Look at what ended the transaction that was open and the batches that never left.

    Whoever sent them was told by the first that failed and awaits no other. aiokafka hands out no list of the rest,
    and asyncio logs each exception that nobody has looked at as if it were a mistake.
    """
    accumulator = producer._message_accumulator  # noqa: SLF001
    batches = [*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())]  # noqa: SLF001
    outcomes = [producer._txn_manager.wait_for_transaction_end()]  # noqa: SLF001
    outcomes += [future for one in batches for future in (one.future, one._drain_waiter)]  # noqa: SLF001
    for one in outcomes:
        if one is not None and one.done() and not one.cancelled():
            one.exception()


def _producer(options: Mapping[str, Any], config: Config, transactional_id: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **options,
        transactional_id=transactional_id,
        transaction_timeout_ms=int(config.transaction_timeout_s * 1000),
        request_timeout_ms=max(1_000, int(config.commit_timeout_s * 1000)),
        retry_backoff_ms=50,
        max_batch_size=BATCH_BYTES,
        linger_ms=0,
    )


def _single(fault: BaseException) -> BaseException:
    """The first fault itself: whoever decides what happens next looks at its class."""
    return fault.exceptions[0] if isinstance(fault, BaseExceptionGroup) else fault
