"""What workers show of themselves: all are asked at once, each within its bound, and one that is silent is told."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from sidechain.agents.problems import UsageProblem
from sidechain.agents.wet.http import Address, NoAnswer, address, ask
from sidechain.models.wet.readings import Samples, Scrape

TARGETS: Final = 64  # workers of one installation; beyond, several of us share them
SETTING: Final = "metrics_targets"
OURS: Final = "sidechain_"


def targets(text: str) -> list[Address]:
    """What `metrics_targets` names: ports of this machine, host:port, or whole URLs. Raises UsageProblem."""
    words = [one.strip() for one in text.split(",") if one.strip()]
    if not words:
        raise UsageProblem(
            f"name the workers to look at with {SETTING}: the ports their --metrics-port says, as in 9464,9465; "
            "host:port or a URL where they run elsewhere"
        )
    if len(words) > TARGETS:
        raise UsageProblem(f"{SETTING} names {len(words)} workers, and {TARGETS} are looked at; share them out")
    return [address(_url(one), SETTING) for one in words]


def _url(word: str) -> str:
    if "://" in word:
        return word
    return f"http://{f'127.0.0.1:{word}' if word.isdigit() else word}/metrics"


async def scraped(where: Sequence[Address]) -> dict[str, Scrape]:
    """What each shows now, by host:port."""
    found = await asyncio.gather(*map(_one, where))
    return {one.instance: one for one in found}


async def _one(where: Address) -> Scrape:
    try:
        status, body = await ask(where)
        samples = _read(body.decode()) if status == 200 else None
    except (NoAnswer, ValueError):
        samples = None
    return Scrape(where.place, time.time_ns() // 1_000_000, samples)


def _read(text: str) -> Samples:
    """Our own series of an exposition. Raises ValueError for what is none."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(OURS):
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = float(sample.value)
    return found
