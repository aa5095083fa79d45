"""One question about chains, asked of an export where one is given, else of the topics."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sidechain.agents.chain_sources import ChainSource, FolderSource, TopicSource
from sidechain.agents.cli.connection import Connection
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config

Answer = TypeVar("Answer")
Question = Callable[[ChainSource], Awaitable[Answer]]


def ask(folder: Path | None, connection: Connection, question: Question[Answer]) -> Answer:
    """The answer."""
    if folder is not None:
        return asyncio.run(_awaited(question(FolderSource(folder))))
    return asyncio.run(_of_topics(connection.settings(), question))


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


async def _of_topics(config: Config, question: Question[Answer]) -> Answer:
    async with Topics.of(config) as topics:
        return await question(TopicSource(topics))
