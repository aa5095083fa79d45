"""The bare copy: what a worker could do at most on this machine.

Plain aiokafka: `getmany`, the same bytes into `send_batch`, one transaction per poll, and the lane's own rotation of
producers. No parsing, no state, no sealing. Run as a process of its own, like a worker.
"""

import asyncio
import signal
import sys
from typing import Final

from aiokafka import TopicPartition

from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.log_ends import reader
from sidechain.agents.lane.pipeline import Names, Output, Pipeline
from sidechain.agents.lane.producers import open_producers
from sidechain.agents.settings import Config

POLL_MS: Final = 20


async def copy(config: Config, max_records: int, stop: asyncio.Event) -> None:
    """Copy the events topic to dry.decisions, partition by partition, until `stop`."""
    options = kafka_options(config)
    tps = [TopicPartition(config.topic("events"), one) for one in range(config.partitions)]
    share = config.batch_max_bytes // len(tps)  # the lane's own fetch settings
    consumer = reader(options, max_partition_fetch_bytes=share, fetch_max_bytes=config.batch_max_bytes)
    producers = await open_producers(options, config, 0)
    names = Names(*(config.topic(one) for one in ("dry.decisions", "dry.state", "dry.deadletters")))
    pipeline = Pipeline(producers, names, config.commit_timeout_s, lambda _: None)
    await consumer.start()
    try:
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, 0)
        while not stop.is_set() and pipeline.failure is None:
            got = await consumer.getmany(timeout_ms=POLL_MS, max_records=max_records)
            if got:
                outputs = [
                    Output(tp.partition, [(one.key, one.value) for one in records], (), ())
                    for tp, records in got.items()
                ]
                await pipeline.submit(outputs, 0.0)
        await pipeline.drained()
    finally:
        await consumer.stop()
        await pipeline.close()


async def _main(max_records: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await copy(load().config, max_records, stop)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
