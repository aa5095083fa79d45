"""What must hold behind a run of payments, asked of the product's own commands and of programs that know none of it.

Two hands: one reads the topics (verify, account, replay), the other an export of them (the report, recomputed by
`verify --report` and by `tests/dumb_report.py`; both changes back-tested; the rows held against the entries).
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.agents.bench.place import Place
from sidechain.agents.problems import AnswerIsNo
from sidechain.models.policy import Policy
from tests.bench.payments_changes import BURST, NewList
from tests.bench.payments_read import STOPPED, Read, check_lateness, read
from tests.bench.payments_rows import DAY_MS, Payment

COMMAND_S: Final = 1_800.0  # a command may take
SEVERAL: Final = 50_000  # payments from which a second process is worth its start
SAID: Final = 600  # characters of what a command said that went wrong
ROOT: Final = Path(__file__).parents[2]
SIDECHAIN: Final = ("-m", "sidechain.agents")
DUMB_REPORT: Final = str(ROOT / "tests" / "dumb_report.py")
DUMB_LEDGER: Final = str(ROOT / "tests" / "dumb_ledger.py")
MEMORY_MS: Final = 4 * DAY_MS  # how long what was reserved under one policy bears on what another one may reserve

Told = Callable[[str], None]


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: bytes
    error: str

    @property
    def data(self) -> Any:
        """Its JSON."""
        return msgspec.json.decode(self.out)


class Flip(msgspec.Struct):
    """One line of a back-test's flips."""

    partition: int
    seq: int
    at_ms: int | None
    before: str


class Proofs:
    """Asks everything; what does not hold is a line of the report, and the others are asked all the same."""

    def __init__(
        self,
        here: Place,
        settings: Mapping[str, str],
        root: Path,
        policies: Sequence[Policy],
        newer: Sequence[NewList],
        sent: Sequence[Payment],
        told: Told,
    ) -> None:
        """`root`: the folder of the root's keys. `policies`: the first, and what each change made of it."""
        self._environ = here.environ(**settings)
        self._folder = here.folder
        self._export = here.folder / "export"
        self._root = str(next(root.glob("*.pub")))
        self._policies = policies
        self._newer = newer
        self._sent = sent
        self._told = told
        self._has_budgets = any(one.budgeting is not None for one in policies)
        self._jobs = "2" if len(sent) >= SEVERAL else "1"
        self._checks: list[dict[str, Any]] = []
        self._heads: dict[str, list[str]] = {}
        self.read = Read()

    @property
    def figures(self) -> dict[str, Any]:
        """What the export says of the payments."""
        return self.read.figures

    async def all(self, expected: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
        """Every check, with what it said. `expected`: how many entries of each kind there must be, and why refused."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._topics())
            group.create_task(self._files(expected))
        async with self._check("replay came to the heads that verify saw") as said:
            if self._heads.get("verify") != self._heads.get("replay") or len(self._heads) != 2:
                raise AnswerIsNo(f"{self._heads}")
            said.append(", ".join(one[:16] for one in self._heads["verify"]))
        return self._checks

    async def _topics(self) -> None:
        await self._proved("verify", "every seal, link and signed checkpoint", "verify", "--root", self._root)
        async with self._check("account: every input has one entry") as said:
            books = (await self._asked("account", "--json")).data
            if not all(one["balanced"] for one in books):
                raise AnswerIsNo("it does not balance")
            said.append(f"{sum(one['events'] for one in books):,} events")
            said.append(f"{sum(one['outcomes']['events'] for one in books):,} outcomes")
            said.append(f"{sum(one['dead_letters'] for one in books):,} dead letters")
        await self._proved("replay", "every entry decided anew, byte for byte", "replay")

    async def _proved(self, name: str, what: str, *words: str) -> None:
        async with self._check(f"{name}: {what}") as said:
            proofs = (await self._asked(*words, "--json")).data
            if faults := [one["fault"] for one in proofs if one["fault"]]:
                raise AnswerIsNo(f"{faults[0]}")
            self._heads[name] = [one["head"] for one in proofs]
            said.append(f"{sum(one['entries'] for one in proofs):,} entries")

    async def _files(self, expected: Mapping[str, Mapping[str, int]]) -> None:
        async with self._check("export") as said:
            await self._asked("export", str(self._export), "--with-events")
            size = sum(one.stat().st_size for one in self._export.iterdir())
            said.append(f"{size / 2**20:,.0f} MiB")
        if not self._export.exists():
            return
        await self._report()
        await self._read(expected)
        if self._has_budgets:
            async with self._check("tests/dumb_ledger.py: remaining + reserved + committed at every entry") as said:
                said.append((await self._ran([DUMB_LEDGER, str(self._export)])).out.decode().strip())
        for number, changed in enumerate(self._policies[1:], 1):
            await self._backtest(number, changed)

    async def _report(self) -> None:
        file = self._folder / "report.json"
        async with self._check("report") as said:
            made = await self._asked("report", "--export", str(self._export), "--format", "json", "--jobs", self._jobs)
            file.write_bytes(made.out)
            said.append(f"{made.data['totals']['decisions']:,} decisions, digest {made.data['digest'][:16]}")
        if not file.exists():
            return
        async with self._check("verify --report: every number anew from the export") as said:
            answer = await self._asked(
                "verify", "--export", str(self._export), "--report", str(file), "--jobs", self._jobs
            )
            said.append(answer.out.decode().strip().splitlines()[-1])
        async with self._check("tests/dumb_report.py: every total once more") as said:
            answer = await self._ran([DUMB_REPORT, str(self._export), str(file)])
            said.append(answer.out.decode().strip())

    async def _read(self, expected: Mapping[str, Mapping[str, int]]) -> None:
        stop = threading.Event()
        try:
            self.read = await asyncio.to_thread(read, self._export, self._sent, self._newer, BURST, stop)
        finally:
            stop.set()
        found = self.read
        async with self._check("each payment, each outcome and each change has its entries, and no other is there"):
            for name, counted in (("entries", found.kinds), ("refused_outcomes", found.refused)):
                if dict(counted) != expected[name]:
                    raise AnswerIsNo(f"{name}: {dict(counted)} instead of {expected[name]}")
        async with self._check("every decision asked the rows of the lists it cites") as said:
            if found.faults:
                raise AnswerIsNo("; ".join(found.faults))
            said.append(f"{min(len(one) for one in found.versions.values())} versions cited on each partition")
        async with self._check("outcomes are settled in their time") as said:
            if problem := check_lateness(found):
                raise AnswerIsNo(problem)
            said.append(", ".join(f"{name} {hours:,} h" for name, hours in found.lateness_h.items()))

    async def _backtest(self, number: int, changed: Policy) -> None:
        """From its own entry on a change decides as foretold; what flips before it, a dumber look finds too."""
        flips, file = self._folder / f"flips-{number}.ndjson", self._folder / f"policy-{number}.yaml"
        file.write_text(changed.text, encoding="utf-8")
        async with self._check(f"back-test of {changed.ref}: what the run then showed") as said:
            words = ["--export", str(self._export), "--flips", str(flips), "--jobs", self._jobs, "--json"]
            told = (await self._asked("policy", "backtest", str(file), *words)).data
            found = [msgspec.json.decode(line, type=Flip) for line in flips.read_bytes().splitlines()]
            by_policy: dict[str, set[tuple[int, int]]] = {}
            for one in found:
                by_policy.setdefault(self._under(one), set()).add((one.partition, one.seq))
            self.check_flips(changed.ref, found, is_threshold=number == 1)
            if len(found) != told["flips"]:
                raise AnswerIsNo(f"{told['flips']} flips are counted and {len(found)} named")
            counts = ", ".join(f"{len(some):,} sealed under {ref}" for ref, some in sorted(by_policy.items()))
            said.append(f"{told['inputs']:,} inputs, {len(found):,} flips: {counts or 'none'}; {told['verdict']}")

    def _under(self, flip: Flip) -> str:
        return self.read.sealed_under(flip.partition, flip.seq)

    def check_flips(self, ref: str, found: Sequence[Flip], *, is_threshold: bool) -> None:
        """Raises `AnswerIsNo` when these cannot be what the run showed. `is_threshold`: it is the first change."""
        self._own_flips(ref, [one for one in found if self._under(one) == ref])
        if is_threshold:
            self._dumb_flips(found)

    def _own_flips(self, ref: str, own: Sequence[Flip]) -> None:
        """None; with budgets, none as soon as what was reserved before the change is over."""
        since = self.read.since_ms
        late = [
            (one.partition, one.seq)
            for one in own
            if not self._has_budgets or (one.at_ms or 0) > since[one.partition, ref] + MEMORY_MS
        ]
        if late:
            raise AnswerIsNo(f"{len(late)} of its own decisions flip, {min(late)} the first")

    def _dumb_flips(self, found: Sequence[Flip]) -> None:
        """The threshold's: everything between the limits that was allowed, and nothing that is not between them.

        With budgets a stricter decision leaves others more, or fewer reviews: of what was stopped any may flip.
        """
        first = self._policies[0].ref
        under = [one for one in found if self._under(one) == first]
        allowed = {(one.partition, one.seq) for one in under if one.before == "allow"}
        if allowed != self.read.burst_allowed:
            raise AnswerIsNo(
                f"{len(allowed)} allowed ones flip, and {len(self.read.burst_allowed)} are between the limits"
            )
        settled = [one for one in under if not self._has_budgets or one.before not in STOPPED]
        if beyond := {(one.partition, one.seq) for one in settled} - self.read.burst:
            raise AnswerIsNo(f"{len(beyond)} flip that are not between the limits, {min(beyond)} the first")

    # How it is asked

    async def _asked(self, *words: str) -> Answer:
        return await self._ran([*SIDECHAIN, *words])

    async def _ran(self, words: Sequence[str]) -> Answer:
        """What a Python process with these words answers. Raises `AnswerIsNo` unless it ends well within COMMAND_S."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            cwd=self._folder,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end what we started
        )
        try:
            out, error = await asyncio.wait_for(running.communicate(), COMMAND_S)
        except TimeoutError:
            raise AnswerIsNo(f"no answer within {COMMAND_S:.0f} s") from None
        finally:
            if running.returncode is None:
                with suppress(ProcessLookupError):
                    running.kill()
                await running.wait()
        answer = Answer(running.returncode or 0, out, error.decode(errors="replace"))
        if answer.code:
            raise AnswerIsNo(
                f"exit code {answer.code}: {answer.out[-SAID:].decode(errors='replace')}{answer.error[-SAID:]}"
            )
        return answer

    @asynccontextmanager
    async def _check(self, what: str) -> AsyncIterator[list[str]]:
        """One check: `AnswerIsNo` makes it fail, anything else is our own mistake. What is appended is what it said."""
        said: list[str] = []
        began, is_so = time.monotonic(), True
        try:
            yield said
        except AnswerIsNo as why:
            is_so, said = False, [str(why)]
        seconds = round(time.monotonic() - began, 1)
        self._checks.append({"check": what, "ok": is_so, "said": "; ".join(said), "seconds": seconds})
        self._told(f"{'ok' if is_so else 'NOT SO'}  {what}{': ' if said else ''}{'; '.join(said)} ({seconds} s)")
