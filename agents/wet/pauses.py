"""A pause that ends early when the worker is told to stop."""

import asyncio


async def waited(stop: asyncio.Event, seconds: float) -> None:
    """Until `stop`, so long at most; not at all where the time has passed already."""
    try:
        await asyncio.wait_for(stop.wait(), max(seconds, 0.0))
    except TimeoutError:
        return
