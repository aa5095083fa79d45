"""`bench stream`: events through `sidechain decide | sidechain verify -` as pipes, nothing on disk, and what they hold.

    events ──▶ sidechain decide --pack web ──▶ sidechain verify - --json

The events come from a process of their own at next to no cost: blocks of lines made once from a seed, in which only a
number and the time change. Few of them are repeated or broken, so that every kind of entry is in the chain. Pipes hold
little, so what the first process has written, the last one has nearly seen; that is when memory is looked at.
"""

import contextlib
import fcntl
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import msgspec

from sidechain.agents.bench.place import machine
from sidechain.agents.problems import EnvironmentProblem

VERIFY: Final = ("verify", "-", "--json")
BLOCK: Final = 1_000  # events of one second
TEMPLATES: Final = 64  # blocks made at the start, used in turn
HOSTS: Final = 500
FIRST_SECOND: Final = 1_700_000_000
PIPE_BYTES: Final = 1024 * 1024  # the most Linux gives without asking; with its usual 64 KiB processes wait in turn
SAMPLE: Final = 1_000_000  # events between two looks at memory; fewer in a run too short for two
SIGN: Final = 20_000  # events between two signs of life
STALL_S: Final = 120.0  # without one: something hangs
END_S: Final = 60.0  # for the last entries to be decided and verified
FLAT: Final = 1.1  # times what a process held at most up to the first sample


def stream(entries: int, seed: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Run the measurement and return its figures."""
    if not Path("/proc/self/status").exists():
        raise EnvironmentProblem("the memory of a process is read from /proc, which only Linux has")
    step = SAMPLE if entries >= 2 * SAMPLE else max(SIGN, entries // 10 // SIGN * SIGN)
    samples: list[dict[str, int]] = []
    began = time.perf_counter()
    with _piped(entries, seed) as (generator, decide, verify):
        for events in _reached(generator):
            if events % step and events < entries:
                continue
            samples.append({one.name: one.most_kib() for one in (decide, verify)})
            seconds = time.perf_counter() - began
            memory = ", ".join(f"{one.name} {samples[-1][one.name] / 1024:.1f} MiB" for one in (decide, verify))
            told(f"{events:,} of {entries:,} events, {events / seconds:,.0f}/s; {memory}")
        proof = _answer((generator, decide, verify))
    seconds = time.perf_counter() - began
    return {
        "entries": proof["entries"],
        "seconds": round(seconds, 1),
        "entries_per_s": round(proof["entries"] / seconds),
        "head": proof["head"],
        "unbroken": proof["fault"] is None and proof["entries"] == entries,
        "memory": {name: _growth([one[name] for one in samples]) for name in ("decide", "verify")},
        "sampled_every": step,
        "seed": seed,
        "pack": "web",
        "machine": machine(),
    }


class _Process:
    """One of the three, with what it says on standard error kept aside."""

    def __init__(self, name: str, words: Sequence[str], stdin: Any, errors: Any) -> None:
        self.name = name
        self._errors = errors
        self.running = subprocess.Popen(
            [sys.executable, *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is this process's to handle; it ends the others
        )
        with contextlib.suppress(OSError):  # the user's share of pipe memory is spent: slower, not wrong
            fcntl.fcntl(self.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def stdout(self) -> IO[bytes]:
        assert self.running.stdout is not None
        return self.running.stdout

    def most_kib(self) -> int:
        """The most memory it has held so far, as the system counts it; 0 when it has ended."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.running.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        return 0

    def end(self, within_s: float) -> None:
        """Raises EnvironmentProblem unless it ends by itself, and well."""
        try:
            code = self.running.wait(within_s)
        except subprocess.TimeoutExpired:
            raise EnvironmentProblem(f"{self.name} did not end within {within_s:.0f} s") from None
        if code:
            self._errors.seek(0)
            said = self._errors.read()[-2_000:].decode(errors="replace").strip()
            raise EnvironmentProblem(f"{self.name} ended with exit code {code}: {said}")


@contextmanager
def _piped(entries: int, seed: int) -> Iterator[tuple[_Process, _Process, _Process]]:
    """The three processes; whatever still runs at the end is killed."""
    command = ["-m", "sidechain.agents"]
    with ExitStack() as stack:

        def begin(name: str, words: Sequence[str], before: _Process | None, errors: Any) -> _Process:
            one = _Process(name, words, before.stdout if before else subprocess.DEVNULL, errors)
            stack.callback(_kill, one.running)
            if before:
                before.stdout.close()  # ours; so that the writer hears when its reader has ended
            return one

        def kept() -> Any:
            return stack.enter_context(TemporaryFile())

        words = ["-m", "sidechain.agents.bench.stream", str(entries), str(seed)]
        generator = begin("events", words, None, subprocess.PIPE)
        decide = begin("decide", [*command, "decide", "--pack", "web"], generator, kept())
        verify = begin("verify", [*command, *VERIFY], decide, kept())
        yield generator, decide, verify


def _kill(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        running.kill()
    running.wait(END_S)


def _reached(generator: _Process) -> Iterator[int]:
    """How many events the generator has written, each time it says so. Raises when it says nothing for too long."""
    said = generator.running.stderr
    assert said is not None
    while select.select([said], [], [], STALL_S)[0]:
        if not (line := said.readline()):
            return
        if line.strip().isdigit():  # anything else is the end of a generator whose reader has gone
            yield int(line)
    raise EnvironmentProblem(f"no progress within {STALL_S:.0f} s: decide or verify hangs")


def _answer(processes: Sequence[_Process]) -> dict[str, Any]:
    """What verify found. The last process to fail is the first to blame: those before it only lost their reader."""
    verify = processes[-1]
    ready, _, _ = select.select([verify.stdout], [], [], END_S)
    said = verify.stdout.read() if ready else b""
    found: dict[str, Any] = msgspec.json.decode(said)[0] if said else {}
    if not found.get("fault"):
        for one in reversed(processes):
            one.end(END_S)
    return found


def _growth(values: Sequence[int]) -> dict[str, Any]:
    """The most memory up to the first sample and up to the last; flat means no more than FLAT times the first."""
    first, most = values[0], max(values)
    return {"first_kib": first, "most_kib": most, "flat": most <= FLAT * first}


def blocks(seed: int) -> Iterator[bytes]:
    """For ever: BLOCK lines at once, one second of events."""
    chance = random.Random(seed)  # noqa: S311 - a load to repeat, no secret
    templates = [_template(chance) for _ in range(TEMPLATES)]
    for number in range(1 << 62):
        template = templates[number % TEMPLATES]
        yield template.replace(b"\0", b"%d" % number).replace(b"\1", b"%d" % (FIRST_SECOND + number))


def _template(chance: random.Random) -> bytes:
    r"""BLOCK lines; \0 stands for the block's number, \1 for its second."""
    lines: list[bytes] = []
    for at in range(BLOCK):
        host, page = chance.randrange(HOSTS), chance.randrange(400)
        status = chance.choices((200, 304, 404, 500), (90, 6, 3, 1))[0]
        lines.append(
            b'{"id":"s-\0-%d","host":"h%d.example","at":\1%03d,"method":"GET","path":"/page/%d.html","status":%d,'
            b'"bytes":%d}' % (at, host, at * 1_000 // BLOCK, page, status, chance.randrange(50_000))
        )
    lines[chance.randrange(1, BLOCK)] = lines[0]  # a repetition ...
    lines[chance.randrange(1, BLOCK)] = lines[0][:-9]  # ... and an event that breaks off
    return b"\n".join(lines) + b"\n"


def _generate(entries: int, seed: int) -> None:
    out = sys.stdout.fileno()
    source, written = blocks(seed), 0
    while written < entries:
        lines = next(source)
        if entries - written < BLOCK:
            lines = b"".join(lines.splitlines(keepends=True)[: entries - written])
        view = memoryview(lines)
        while view:
            view = view[os.write(out, view) :]
        written = min(entries, written + BLOCK)
        if written % SIGN == 0 or written == entries:
            os.write(sys.stderr.fileno(), b"%d\n" % written)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _generate(int(sys.argv[1]), int(sys.argv[2]))
