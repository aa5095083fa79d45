"""Bottlenecks put into a running pipeline, and how long the optimizer's eyes take to name them.

    python -m tests.bench.bottlenecks [--only slow,hot,starved,healthy] [--rate 400] [--healthy 60]

A broker of its own, dry, tap and wet worker as processes, a sender at a steady rate, and every ten seconds a look at
what the workers serve, as `sidechain worker optimizer` looks. When all runs well for `--healthy` seconds the fault
comes, and the first finding is held against it; it must come within five minutes.

slow      the wet worker is replaced by one that takes two seconds over each partition's part of a round
hot       the keys move together: one partition gets nearly all, more than a worker decides in batches of eight
starved   the wet worker shares one core with four programs that never rest and come before it
healthy   nothing is done, for half an hour; nothing may be found

On a machine with other things to do all of it is starved, and that is then the cause that is named: it prints the
load it began with.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidechain.agents.admin import ensure
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, machine, place
from sidechain.agents.local_kafka import free_port
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.wet.optimizer import Lookout, table
from sidechain.agents.wet.scrape import scraped, targets
from sidechain.models.pack_file import load_pack
from sidechain.models.wet.bottleneck import EVERY_S, Bottleneck

if TYPE_CHECKING:
    from sidechain.agents.child import Child

PACK: Final = "web"
WITHIN_S: Final = 300.0
HEALTHY_S: Final = 1_800.0
ROLES: Final = ("dry", "tap", "wet")
WORKER: Final = ("-m", "sidechain.agents", "worker")
# A second a partition is not slow: a round takes up to 2,000 records at once, and fewer come in four seconds.
SLOW: Final = "from sidechain.agents.bench import unruly as u; u.SLOW_S = 2.0; u.slow(); u.main()"
UNRULY: Final = ("-c", SLOW, "worker", "wet")
HOG: Final = "while True: pass"
HOGS: Final = 4
# Of a worker's batches: five hundred a second fit in on a busy machine, and HOT times the rate on no quiet one.
SMALL: Final = 8
HOT: Final = 6
MORE: Final = {"starved": 4}  # times the rate: what needs a twentieth of a processor gets that much from anybody
EXPECTED: Final = {
    "slow": ("wet", "slow"),
    "hot": ("dry", "hot-partition"),
    "starved": ("wet", "starved"),
    "healthy": (None, None),
}


class Run:
    """One installation, one fault."""

    def __init__(self, here: Place, fault: str, rate: float, stack: ExitStack) -> None:
        self.fault = fault
        self._here = here
        self._rate = MORE.get(fault, 1) * rate
        self._stack = stack
        self.settings = {"prefix": f"{fault}.", **({"batch_max_records": str(SMALL)} if fault == "hot" else {})}
        self._ports = {role: free_port() for role in ROLES}
        self._children: dict[str, Child] = {}

    async def measure(self, healthy_s: float) -> dict[str, Any]:
        """Seconds from the fault to the first finding, and what that was."""
        await ensure(self._here.config(**self.settings))
        for role in ROLES:
            self._start(role, (*WORKER, role))
        healthy_s = HEALTHY_S if self.fault == "healthy" else healthy_s
        if self.fault == "hot":  # written before anybody looks: it takes its time
            self._write("hot", HOT * self._rate, WITHIN_S, "hot.example")
        self._write("steady", self._rate, healthy_s + WITHIN_S)
        self._send("steady", self._rate)
        lookout = Lookout()
        before = await self._until(lookout, healthy_s)
        if before is not None or self.fault == "healthy":
            return self._told(lookout, before, None)
        began = time.monotonic()
        getattr(self, f"_{self.fault}")()
        return self._told(lookout, await self._until(lookout, WITHIN_S), time.monotonic() - began)

    async def _until(self, lookout: Lookout, seconds: float) -> Bottleneck | None:
        where = targets(",".join(str(port) for port in self._ports.values()))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in self._children.values():
                child.check()
            looked = time.monotonic()
            if (found := lookout.look(time.time_ns() // 1_000_000, await scraped(where))) is not None:
                return found
            print("\n".join(table(lookout)), file=sys.stderr, flush=True)
            await asyncio.sleep(max(0.0, looked + EVERY_S - time.monotonic()))
        return None

    def _told(self, lookout: Lookout, found: Bottleneck | None, took_s: float | None) -> dict[str, Any]:
        stage, cause = EXPECTED[self.fault]
        is_early = took_s is None and stage is not None
        return {
            "fault": self.fault,
            "found": None if found is None else {"stage": found.stage, "cause": found.cause, "why": found.evidence},
            "seconds": None if took_s is None or found is None else round(took_s, 1),
            "before_the_fault": is_early,
            "stage_is_right": (None if found is None else found.stage) == stage and not is_early,
            "cause_is_right": (None if found is None else found.cause) == cause and not is_early,
            "stages": table(lookout),
        }

    def _start(self, role: str, words: tuple[str, ...]) -> None:
        made = self._here.process(f"{self.fault}-{role}", words, **self.settings, metrics_port=str(self._ports[role]))
        self._children[role] = self._stack.enter_context(made)

    def _file(self, name: str) -> Path:
        return self._here.folder / f"{self.fault}-{name}.ndjson"

    def _write(self, name: str, rate: float, seconds: float, host: str | None = None) -> None:
        with self._file(name).open("wb") as out:
            for line in _events(load_pack(PACK), int(rate * seconds), name, host):
                out.write(line + b"\n")

    def _send(self, name: str, rate: float) -> None:
        words = ("-m", "sidechain.agents", "produce", str(self._file(name)), "--rate", str(rate))
        self._stack.enter_context(self._here.process(f"{self.fault}-{name}", words, **self.settings))

    def _slow(self) -> None:
        self._children.pop("wet").stop()
        self._start("wet", UNRULY)

    def _hot(self) -> None:
        self._send("hot", HOT * self._rate)

    def _starved(self) -> None:
        core = {(os.cpu_count() or 1) - 1}
        pid = self._children["wet"].pid
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), core)
        # On Linux processes of different sessions share alike, however nice they are, and a fifth of a core is plenty.
        if (group := Path(f"/proc/{pid}/autogroup")).exists():
            group.write_text("10")
        for number in range(HOGS):
            hog = self._stack.enter_context(self._here.process(f"hog-{number}", ("-c", HOG)))
            os.sched_setaffinity(hog.pid, core)


def _events(policy: Any, count: int, name: str, host: str | None) -> Iterator[bytes]:
    """The sample over and over under new ids; all of one host where one is named."""
    for line in numbered(policy, count):
        event = json.loads(line)
        event["id"] = f"{name}-{event['id']}"
        if host is not None:
            event["host"] = host
        yield json.dumps(event, separators=(",", ":")).encode()


async def _measured(faults: list[str], rate: float, healthy_s: float) -> list[dict[str, Any]]:
    rows = []
    async with place(PACK) as here:
        for fault in faults:
            with ExitStack() as stack:
                try:
                    row = await Run(here, fault, rate, stack).measure(healthy_s)
                except EnvironmentProblem as problem:
                    row = {"fault": fault, "stage_is_right": False, "found": str(problem)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Print a row a fault, then the machine; exit 1 where a stage was not named right and in time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="slow,hot,starved")
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--healthy", type=float, default=60.0)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = asyncio.run(_measured(given.only.split(","), given.rate, given.healthy))
    print(json.dumps({"machine": machine(), "load": load, "rate": given.rate}))
    sys.exit(0 if all(row["stage_is_right"] for row in rows) else 1)


if __name__ == "__main__":
    main()
