"""Asks the fitting process for models: one fit at a time, bounded, counted, and nobody has to wait for it.

A fit that fails or takes longer than `bound_s` kills the process; the next one gets a fresh process. The scorer goes on
with the model it has.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, Self, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sidechain.agents.wet import frames
from sidechain.models.wet.forest import ForestModel

log = logging.getLogger(__name__)

BOUND_S: Final = 120.0  # includes the start of the process, which imports scikit-learn
COMMAND: Final = (sys.executable, "-m", "sidechain.agents.wet.fitting")


class Counts(Protocol):
    """A counter of prometheus-client, or anything else that counts."""

    def inc(self, amount: float = 1) -> None: ...


Model = TypeVar("Model")


class FittingProcess(Generic[Model]):
    """One process that fits and at most one fit under way. Use as an async context manager."""

    def __init__(
        self, results: Mapping[str, Counts], read: Callable[[bytes], Model], command: Sequence[str], bound_s: float
    ) -> None:
        """`results`: counters for `swapped`, `failed` and `timeout`. `read`: the model of an answer, or ValueError."""
        self._results = results
        self._read = read
        self._bound_s = bound_s
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._is_ready = False
        self._asked_at = 0.0  # by the loop's clock
        self._task: asyncio.Task[Model | None] | None = None

    async def __aenter__(self) -> Self:
        await self._start()  # ahead of the first fit: the import takes longer than the fit
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._kill()

    @property
    def is_busy(self) -> bool:
        """Whether a fit was asked for and not taken yet."""
        return self._task is not None

    @property
    def is_done(self) -> bool:
        """Whether `take` has an answer."""
        return self._task is not None and self._task.done()

    def ask_for(self, names: Sequence[str], **arrays: Any) -> None:
        """Begin a fit of rows of these features. Only when not busy."""
        assert not self.is_busy
        frame = frames.pack(names=np.array(names, dtype=np.str_), **arrays)
        self._asked_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._fitted(frame))

    async def wait(self, bound_s: float) -> None:
        """Until the fit under way is done, `bound_s` after it was asked for at most."""
        if self._task is not None:
            left = self._asked_at + bound_s - asyncio.get_running_loop().time()
            await asyncio.wait({self._task}, timeout=max(left, 0.0))

    def take(self) -> Model | None:
        """The model that was asked for, None if the fit failed. Only when done."""
        assert self._task is not None
        task, self._task = self._task, None
        return task.result()

    async def _fitted(self, frame: bytes) -> Model | None:
        """Every way a fit can go wrong ends here, in a count and a line: the wet side may fail."""
        try:
            async with asyncio.timeout(self._bound_s):
                model = await self._exchange(frame)
        except TimeoutError:
            log.warning("a fit took longer than %.0f s and was ended", self._bound_s)
            self._results["timeout"].inc()
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as fault:
            log.warning("a fit failed: %s: %s", type(fault).__name__, fault)
            self._results["failed"].inc()
        else:
            self._results["swapped"].inc()
            return model
        await self._kill()
        return None

    async def _exchange(self, frame: bytes) -> Model:
        process = await self._start()
        if not self._is_ready:
            await self._answer(process)
            self._is_ready = True
        assert process.stdin is not None
        process.stdin.write(frame)
        await process.stdin.drain()
        return self._read((await self._answer(process))["model"].tobytes())

    async def _start(self) -> asyncio.subprocess.Process:
        """The process, a new one if the last has ended."""
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            self._is_ready = False
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        return self._process

    async def _answer(self, process: asyncio.subprocess.Process) -> Mapping[str, Any]:
        assert process.stdout is not None
        head = await process.stdout.readexactly(frames.HEAD.size)
        return frames.unpack(await process.stdout.readexactly(frames.length(head)))

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Fitter(FittingProcess[ForestModel]):
    """Fits forests."""

    def __init__(
        self, results: Mapping[str, Counts], *, bound_s: float = BOUND_S, command: Sequence[str] = COMMAND
    ) -> None:
        super().__init__(results, ForestModel.from_bytes, command, bound_s)

    def ask(self, sample: NDArray[np.float64], names: Sequence[str], seed: int, version: int) -> None:
        """Begin a fit. Only when not busy."""
        self.ask_for(names, sample=sample, seed=seed, version=version)
