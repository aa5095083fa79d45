"""One process, one role: what every worker does around its work.

    sidechain worker dry|tap|wet|…                     until SIGTERM or SIGINT

A signal stops the intake; what is under way is finished within `shutdown_timeout_s`, then the group is left. Exit
codes: 0 stopped as told, 2 and 3 with a sentence that says what to do, 70 for a fault of ours, with its traceback.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError
from prometheus_client import CollectorRegistry

from sidechain.agents.app import App, make_app, running
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.metrics import registry, serve
from sidechain.agents.problems import EnvironmentProblem, Problem, UsageProblem
from sidechain.agents.pseudonym import read_secret
from sidechain.agents.settings import Config
from sidechain.agents.watching_metrics import Processor
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.policy import Policy

log = logging.getLogger(__name__)

FAULT_EXIT: Final = 70
GRACE_S: Final = 15.0  # behind the time for finishing, before a shutdown that hangs is cut off
Run = Callable[[asyncio.Event], Awaitable[None]]


async def _nothing() -> None:
    """Most roles have nothing to prepare and nothing to close."""


@dataclass(frozen=True)
class Role:
    """What a process does."""

    run: Run  # until the event is set; the Faust app runs. Raises what must end the process
    prepare: Callable[[], Awaitable[None]] = _nothing  # before the Faust app starts: the last time to declare agents
    close: Callable[[], Awaitable[None]] = _nothing  # disconnect; also when something failed


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


def work(name: str, make: Callable[[Setting], Role], config: Config) -> int:
    """Run a role in this process until it is told to stop. Returns the exit code."""
    _speak()
    policy = policy_in(config)
    try:
        asyncio.run(_work(name, make, policy, config))
    except Problem as problem:
        log.error("%s", problem)  # noqa: TRY400 - a sentence for the person on duty; there is no mistake of ours to trace
        return problem.exit_code
    except KafkaConnectionError as fault:
        log.error("no Kafka answers at %s (%s); is it up?", config.bootstrap, fault)  # noqa: TRY400 - nor here
        return EnvironmentProblem.exit_code
    except Exception as fault:
        if _is_of_the_cluster(fault):
            log.error(  # noqa: TRY400 - nor here
                "the %s worker ends: Kafka at %s says %s; is the cluster well, and may we use it? (`sidechain doctor`)",
                name,
                config.bootstrap,
                fault,
            )
            return EnvironmentProblem.exit_code
        log.exception("the %s worker ends: a fault of ours", name)
        return FAULT_EXIT
    return 0


def _is_of_the_cluster(fault: Exception) -> bool:
    """It is not ready, or refuses who we are: nothing that another release would do better."""
    refused = any(word in type(fault).__name__ for word in ("Authorization", "Authentication"))
    return isinstance(fault, KafkaError) and (refused or bool(fault.retriable) or isinstance(fault, KafkaTimeoutError))


async def _work(name: str, make: Callable[[Setting], Role], policy: Policy, config: Config) -> None:
    registered = registry()
    Processor(registered)
    if config.metrics_port:
        _serve(registered, config)
    stop = asyncio.Event()
    _stop_on_signals(stop, config.shutdown_timeout_s)
    app = make_app(name)
    role = make(Setting(app, policy, config, registered))
    try:
        await role.prepare()
        # What is loaded by now stays for good: the collector need not look at it again between two batches.
        gc.collect()
        gc.freeze()
        log.info("the %s worker runs under %s", name, policy.ref)
        async with running(app):
            await role.run(stop)
    finally:
        await role.close()
    log.info("the %s worker has stopped", name)


def _serve(registered: CollectorRegistry, config: Config) -> None:
    try:
        serve(registered, config.metrics_host, config.metrics_port)
    except OSError as fault:  # who scrapes us misses us, and says so; no decision waits for that
        place = f"{config.metrics_host}:{config.metrics_port}"
        log.error("no metrics at %s (%s); the worker goes on without", place, fault.strerror or fault)  # noqa: TRY400


def _stop_on_signals(stop: asyncio.Event, shutdown_s: float) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_told_to_stop, stop, signal.Signals(number).name, shutdown_s))


def _told_to_stop(stop: asyncio.Event, name: str, shutdown_s: float) -> None:
    if stop.is_set():
        return
    log.info("%s: finishing what is under way", name)
    stop.set()
    asyncio.get_running_loop().call_later(shutdown_s + GRACE_S, cut_off)


def cut_off() -> None:
    """End the process at once: what should have ended by now has not."""
    log.error("the shutdown hangs and is cut off; the next owner of our shards asks the log")
    os._exit(FAULT_EXIT)


def _speak() -> None:
    """Our own lines at INFO, libraries' from WARNING on, all to standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("sidechain").setLevel(logging.INFO)
    logging.getLogger("sidechain.agents.app").setLevel(logging.WARNING)  # Faust speaks under our app's name
