"""One process, one role: what every worker does around its work.

    sidechain worker dry|tap|wet        until SIGTERM or SIGINT

A signal stops the intake; what is under way is finished within `shutdown_timeout_s`, then the group is left. Exit
codes: 0 stopped as told, 2 and 3 with a sentence that says what to do, 70 for a fault of ours, with its traceback.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Final, Protocol

from prometheus_client import CollectorRegistry

from sidechain.agents.app import App, make_app, running
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.metrics import registry, serve
from sidechain.agents.problems import Problem, UsageProblem
from sidechain.agents.pseudonym import read_secret
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.policy import Policy

log = logging.getLogger(__name__)

FAULT_EXIT: Final = 70
GRACE_S: Final = 15.0  # behind the time for finishing, before a shutdown that hangs is cut off
# Which makes a role's worker; imported when the role is run, so that the dry side never loads what the wet side needs.
ROLES: Final[Mapping[str, str]] = {
    "dry": "sidechain.agents.dry.role:make",
    "tap": "sidechain.agents.tap_role:make",
    "wet": "sidechain.agents.wet.role:make",
}


class Worker(Protocol):
    """What a role is."""

    async def prepare(self) -> None:
        """Declare agents; the Faust app has not started."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; the Faust app runs. Raises what must end the process."""

    async def close(self) -> None:
        """Disconnect; also when `prepare` or `run` failed."""


class Setting:
    """What a role is made of."""

    def __init__(self, app: App, policy: Policy, config: Config, registered: CollectorRegistry) -> None:
        self.app = app
        self.policy = policy
        self.config = config
        self.registered = registered
        self.options = kafka_options(config)

    @property
    def secret(self) -> bytes | None:
        """The secret pseudonyms are made with, where there is one."""
        path = self.config.pseudonym_key_file
        return None if path is None else read_secret(path)


def policy_in(config: Config) -> Policy:
    """The policy the settings name. Raises UsageProblem or PackError."""
    if config.policy is not None:
        return load_file(config.policy)
    if config.pack is not None:
        return load_pack(config.pack)
    raise UsageProblem("name the policy with --pack NAME or --policy FILE, one of the two")


def work(role: str, config: Config) -> int:
    """Run a role in this process until it is told to stop. Returns the exit code."""
    _speak()
    policy = policy_in(config)
    module, _, name = ROLES[role].partition(":")
    make: Callable[[Setting], Worker] = getattr(import_module(module), name)
    try:
        asyncio.run(_work(role, make, policy, config))
    except Problem as problem:
        log.error("%s", problem)  # noqa: TRY400 - a sentence for the person on duty; there is no mistake of ours to trace
        return problem.exit_code
    except Exception:
        log.exception("the %s worker ends: a fault of ours", role)
        return FAULT_EXIT
    return 0


async def _work(role: str, make: Callable[[Setting], Worker], policy: Policy, config: Config) -> None:
    registered = registry()
    if config.metrics_port:
        serve(registered, config.metrics_host, config.metrics_port)
    stop = asyncio.Event()
    _stop_on_signals(stop, config.shutdown_timeout_s)
    app = make_app(role)
    worker = make(Setting(app, policy, config, registered))
    try:
        await worker.prepare()
        # What is loaded by now stays for good: the collector need not look at it again between two batches.
        gc.collect()
        gc.freeze()
        log.info("the %s worker runs under %s", role, policy.ref)
        async with running(app):
            await worker.run(stop)
    finally:
        await worker.close()
    log.info("the %s worker has stopped", role)


def _stop_on_signals(stop: asyncio.Event, shutdown_s: float) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_told_to_stop, stop, signal.Signals(number).name, shutdown_s))


def _told_to_stop(stop: asyncio.Event, name: str, shutdown_s: float) -> None:
    if stop.is_set():
        return
    log.info("%s: finishing what is under way", name)
    stop.set()
    asyncio.get_running_loop().call_later(shutdown_s + GRACE_S, _cut_off)


def _cut_off() -> None:
    log.error("the shutdown hangs and is cut off; the next owner of our shards asks the log")
    os._exit(FAULT_EXIT)


def _speak() -> None:
    """Our own lines at INFO, libraries' from WARNING on, all to standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("sidechain").setLevel(logging.INFO)
    logging.getLogger("sidechain.agents.app").setLevel(logging.WARNING)  # Faust speaks under our app's name
