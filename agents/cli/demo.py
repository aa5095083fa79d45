"""`sidechain demo`: a broker, both sides, real traffic, and the proof at the end."""

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from sidechain.agents.cli.output import Json, emit
from sidechain.agents.demo.play import Report, play
from sidechain.agents.demo.stage import ROLES, TEACHER, set_up
from sidechain.agents.demo.view import View, fields, summary
from sidechain.agents.demo.watch import Watch
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.models import samples
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy

TICK_S = 0.25


def demo(
    pack: Annotated[str, typer.Option(help="A pack that comes with Sidechain and a sample.")] = "web",
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 1_500,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Start a real Kafka and all workers, send the pack's sample through, and prove what came out.

    Everything stands in a temporary folder and is taken down at the end. Exit 1 when a proof fails.
    """
    if pack not in samples.RAW:
        raise UsageProblem(f"there is no sample for pack {pack}; there are samples for {', '.join(samples.RAW)}")
    policy = load_pack(pack)
    report = asyncio.run(_demo(policy, rate, keep=keep))
    emit(fields(report) if json else "\n".join(summary(report)), json)
    if not report.is_proved:
        raise AnswerIsNo("a proof failed; the lines above say which")


async def _demo(policy: Policy, rate: float, *, keep: bool) -> Report:
    watch: Watch | None = None
    with View(lambda: watch) as view:
        roles = (*ROLES, TEACHER) if any(one.learn for one in policy.signals) else ROLES
        async with set_up(policy.name, roles, view.told) as stage:
            watch = Watch(stage.config)
            beside = [asyncio.create_task(watch.run()), asyncio.create_task(_ticking(view))]
            try:
                view.told(f"sending the {policy.name} sample at {rate:,.0f} events a second")
                report = await play(stage, policy, rate, watch, view.told)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
            if keep:
                view.told(f"Kafka stays up at {stage.config.bootstrap}; Ctrl-C takes everything down")
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
    return report


async def _ticking(view: View) -> None:
    while True:
        view.tick()
        await asyncio.sleep(TICK_S)
