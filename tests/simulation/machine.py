"""One event loop on which every process lives, with time that passes only when nothing is left to do.

A seed decides which of the callbacks that are ready runs next, so one seed is one schedule. A process is a name tag in
the context of its callbacks: killing it means that none of them ever runs again, `finally` included, as with SIGKILL;
pausing it means that they wait, as with SIGSTOP, while everybody else's time goes on.
"""

import asyncio
import contextlib
import heapq
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any, Final

STEP_S: Final = 2e-6  # every callback takes a moment, so that no loop runs on the spot for ever
STEPS_MOST: Final = 1_000_000


class LivelockError(Exception):
    """The processes are busy and nothing comes of it."""


class Process:
    """What dies and sleeps as one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.held: list[Handle] = []  # what became ready while it was paused
        self.skew_s = 0.0  # how wrong its wall clock is
        self.wire: Any = None

    def __repr__(self) -> str:
        return self.name


PROCESS: ContextVar[Process] = ContextVar("process")


class Handle:
    """A callback that was asked for. Like asyncio's, without what a debugger needs."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "process", "when_s")

    def __init__(self, callback: Any, args: Any, context: Context, when_s: float) -> None:
        self.callback, self.args, self.context, self.when_s = callback, args, context, when_s
        self.is_cancelled = False
        self.process = context.get(PROCESS)

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_s


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Hashed by its number: sets of tasks would otherwise be walked in the order of their addresses."""

    def __init__(self, coro: Any, *, loop: "Machine", name: str | None, context: Context | None) -> None:
        self.number = next(loop.numbers)
        super().__init__(coro, loop=loop, name=name or "task", context=context)

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future):  # type: ignore[type-arg]
    def __init__(self, *, loop: "Machine") -> None:
        self.number = next(loop.numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class Machine(asyncio.AbstractEventLoop):
    """The loop. `shuffled`: callbacks of one process may overtake each other too, not only those of different ones."""

    def __init__(self, seed: int, *, is_tracing: bool = False) -> None:
        self.random = Random(seed)
        self.is_shuffled = self.random.random() < 0.5
        self.is_tracing = is_tracing
        self.trace: list[str] = []
        self.digest = sha256()
        self.faults: list[str] = []  # callbacks that raised: never right
        self.numbers = count()
        self.world = Process("world")
        self.steps = 0
        self._now = 0.0
        self._ready: deque[Handle] | list[Handle] = [] if self.is_shuffled else deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._tidy_at = 200
        self._tasks: list[Any] = []  # a killed process's coroutines must not be finalised while others still run

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Until `main` returns. Whatever it raises is raised."""
        with self._running():
            context = copy_context()
            context.run(PROCESS.set, self.world)
            task = self.create_task(main, context=context)
            while not task.done():
                self._step()
            task.result()

    def forget(self) -> None:
        """Let go of everything that was under way, now rather than when the memory is full."""
        for one in (self._tasks, self._ready, self._timers):
            one.clear()

    def log(self, what: str, *more: object) -> None:
        """Something happened that makes this schedule this one and no other."""
        line = f"{self._now:10.6f} {PROCESS.get().name:<8} {what} {' '.join(map(str, more))}"
        self.digest.update(line.encode())
        if self.is_tracing:
            self.trace.append(line)

    def kill(self, process: Process) -> None:
        process.is_alive = False
        process.held.clear()

    def resume(self, process: Process) -> None:
        process.is_paused = False
        held, process.held = process.held, []
        self._ready.extend(held)

    def in_world(self) -> Context:
        """A context whose callbacks outlive every process."""
        context = Context()
        context.run(PROCESS.set, self.world)
        return context

    def _step(self) -> None:
        timers, ready = self._timers, self._ready
        if not ready:
            if not timers:
                raise LivelockError("everybody waits for ever")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        if self.is_shuffled:
            at = int(self.random.random() * len(ready))
            ready[at], ready[-1] = ready[-1], ready[at]
            handle = ready.pop()
        else:
            handle = ready.popleft()  # type: ignore[call-arg, union-attr]
        process = handle.process
        if handle.is_cancelled or not process.is_alive:
            return
        if process.is_paused:
            process.held.append(handle)
            return
        self._now += STEP_S
        self.steps += 1
        if self.steps > STEPS_MOST:
            raise LivelockError(f"{STEPS_MOST} steps and no end, {self._now:.1f} s")
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as fault:  # noqa: BLE001 - a callback has nobody to raise to
            self.faults.append(f"{process}: {fault!r}")

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._finalise)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _finalise(self, generator: Any) -> None:
        self.create_task(generator.aclose())

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = Handle(callback, args, context or copy_context(), 0.0)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = Handle(callback, args, context or copy_context(), when)
        heapq.heappush(self._timers, (when, next(self.numbers), handle))
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> Any:
        return _Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Any:
        task = _Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > self._tidy_at:
            self._tasks = [one for one in self._tasks if not one.done()]
            self._tidy_at = 2 * len(self._tasks) + 200
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """There are no threads here: the work is done at once, and its end seen later."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as fault:  # noqa: BLE001 - told to whoever awaits it
            future.set_exception(fault)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tasks that die with their process are no news; a callback that raises is in `faults`."""

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
