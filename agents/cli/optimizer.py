"""`sidechain optimizer show`: the pipeline as its workers show it, stage by stage, and what holds it up."""

import asyncio
import time
from typing import Annotated, Any, Final

import typer

from sidechain.agents.cli.connection import SettingsFile
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.cli.period import duration_ms
from sidechain.agents.cli.worker import Targets
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.wet.http import Address
from sidechain.agents.wet.optimizer import Lookout, table
from sidechain.agents.wet.scrape import scraped, targets
from sidechain.models.wet.bottleneck import EVERY_S, LOOKS

LONGEST_S: Final = 3_600


def show(
    metrics_targets: Targets = None,
    during: Annotated[
        str, typer.Option("--during", metavar="DURATION", help="How long to look: 10s for rates, 3m for bottlenecks.")
    ] = "10s",
    *,
    settings: SettingsFile,
    json: Json = False,
) -> None:
    """Look at every worker each ten seconds, and say what each stage does and what holds it up.

    A bottleneck is named after two and a half minutes of looks that agree. Nothing is written anywhere.
    """
    seconds = duration_ms(during, "--during") // 1_000
    if not EVERY_S <= seconds <= LONGEST_S:
        raise UsageProblem(f"--during: from {EVERY_S}s to 1h can be looked at; `sidechain worker optimizer` goes on")
    where = targets(settings.settings(metrics_targets=metrics_targets).metrics_targets)
    looked, silent = asyncio.run(_looked(where, 1 + seconds // EVERY_S))
    if not looked.latest.stages:
        raise EnvironmentProblem(
            f"no worker answers at {', '.join(silent)}" if silent else "those who answer are no workers of ours"
        )
    for one in silent:
        say(f"{one} does not answer")
    emit(_fields(looked, silent) if json else "\n".join([*table(looked), "", *_said(looked, seconds)]), json)


async def _looked(where: list[Address], looks: int) -> tuple[Lookout, list[str]]:
    """After so many looks: what they say, and who was silent at the last one."""
    lookout, silent = Lookout(), []
    began = time.monotonic()
    for number in range(looks):
        if number:
            await asyncio.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
        scrapes = await scraped(where)
        lookout.look(time.time_ns() // 1_000_000, scrapes)
        silent = [name for name, one in scrapes.items() if one.samples is None]
    return lookout, silent


def _said(looked: Lookout, seconds: int) -> list[str]:
    found = looked.bottleneck
    if found is not None:
        return [f"{found.stage} holds up the pipeline: {found.cause}", *(f"  {one}" for one in found.evidence)]
    if seconds < LOOKS * EVERY_S:
        return [f"too short a look to name a bottleneck: --during {LOOKS * EVERY_S}s says"]
    return ["nothing holds up the pipeline"]


def _fields(looked: Lookout, silent: list[str]) -> dict[str, Any]:
    found = looked.bottleneck
    return {
        "at": looked.latest.at_ms,
        "stages": [
            {
                "stage": one.name,
                "workers": one.workers,
                "rate": round(one.rate, 1),
                "p50_s": one.p50_s,
                "p99_s": one.p99_s,
                "lag": one.lag,
                "lag_s": round(one.lag_s, 1),
                "lag_s_in_a_minute": round(looked.ahead_s(one.name), 1),
                "hottest": one.hottest,
                "partitions": one.partitions,
                "cpu": one.cpu,
                "waiting": one.waiting,
                "age_s": one.age_s,
            }
            for one in looked.latest.stages
        ],
        "bottleneck": None
        if found is None
        else {
            "stage": found.stage,
            "cause": found.cause,
            "since": found.since_ms,
            "evidence": found.evidence,
            "figures": dict(found.figures),
        },
        "silent": silent,
    }
