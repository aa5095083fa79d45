"""The command line `sidechain`.

Exit codes: 0 ok, 1 the answer is no, 2 usage or bad input, 3 the environment is not ready, 70 a mistake of ours, 130
interrupted. What anybody can cause is one sentence on standard error; a traceback means a mistake of ours, and its exit
code is never that of an answer.
"""

import errno
import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

from sidechain.agents.cli.commands import COMMANDS, GROUPS, Command
from sidechain.agents.cli.options import spelled_out
from sidechain.agents.cli.output import fail
from sidechain.agents.problems import Problem

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141  # what a program ended by SIGPIPE leaves
OUR_MISTAKE: Final = 70  # EX_SOFTWARE, as the workers end
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def main() -> None:
    """Entry point of the console script."""
    # What aiokafka says on the way goes into our own sentence; a worker that sets up logging still hears it.
    logging.getLogger("aiokafka").addHandler(_heard)
    try:
        try:
            build(sys.argv[1:])(prog_name="sidechain")
        finally:
            sys.stdout.flush()  # what the interpreter cannot write when it ends is a traceback and exit 120
    except KeyboardInterrupt:  # before the command began; later it is the guard's
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        sys.exit(BROKEN_PIPE)
    except Exception as fault:  # noqa: BLE001 - left alone, Python would end with 1, which is an answer
        if (sentence := _foreseen(fault)) is None:
            traceback.print_exception(fault)
            sys.exit(OUR_MISTAKE)
        text, code = sentence
        sys.exit(fail(text, code).exit_code)


class _Heard(logging.Handler):
    """The last reason aiokafka gave for not reaching a broker; the error it raises in the end names none."""

    why = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what stands behind the address."""
        if record.levelno >= logging.ERROR:
            self.why = record.getMessage().partition('": ')[2].rstrip(".")


_heard = _Heard()


def build(words: Sequence[str]) -> typer.Typer:
    """The application, with the functions imported that the command in `words` needs."""
    app = _group("Automatic decisions on Kafka that can be proved, replayed and explained.", completes=True)
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for name, command in COMMANDS.items():
        first, _, second = name.partition(" ")
        if second and first not in groups:
            groups[first] = _group(GROUPS[first])
            app.add_typer(groups[first], name=first)
        is_called = list(words[: len(name.split())]) == name.split()
        function = _guarded(spelled_out(_imported(command))) if is_called else _not_called
        # The one-line help of a list is ours; the page of the command itself is its docstring.
        shown = None if is_called else command.help
        (groups[first] if second else app).command(second or first, help=shown)(function)
    return app


def _group(text: str, *, completes: bool = False) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=completes)


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"sidechain {version('sidechain')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Automatic decisions on Kafka that can be proved, replayed and explained."""
    del show_version  # its callback has answered


def _not_called() -> None:
    """Stands in the list of commands for a function that was not imported."""


def _imported(command: Command) -> Callable[..., Any]:
    module, _, function = command.target.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"sidechain.agents.cli.{module}"), function)
    return found


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command, its foreseeable failures turned into a sentence and an exit code."""

    @functools.wraps(function)
    def run(*positional: Any, **named: Any) -> Any:
        try:
            return function(*positional, **named)
        except Problem as problem:
            raise fail(str(problem), problem.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader has seen enough, as in `| head`
            _drop_output()
            raise typer.Exit(BROKEN_PIPE) from None
        except Exception as fault:
            if (sentence := _foreseen(fault)) is None:
                raise
            text, code = sentence
            raise fail(text, code) from None

    return run


def _drop_output() -> None:
    """Nothing more can be written; what is left in the buffer must not fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _foreseen(fault: Exception) -> tuple[str, int] | None:
    """A sentence and an exit code for what libraries raise about things outside; None for anything else."""
    origin = type(fault).__module__
    if origin.startswith("sidechain.models.pack"):
        return str(fault), 2
    if origin.startswith("aiokafka.errors"):
        return _kafka(fault), 3
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        _drop_output()
        return f"{fault.filename or 'the output'} cannot be written to its end: {fault.strerror}", 3
    return None


def _kafka(fault: Exception) -> str:
    name, detail = type(fault).__name__, str(fault).removeprefix(f"{type(fault).__name__}: ")
    if name == "KafkaConnectionError":
        places = ", ".join(f"{host}:{port}" for host, port in re.findall(r"\('([^']+)', (\d+)", detail)) or detail
        why = f" ({_heard.why})" if _heard.why else ""
        return (
            f"no Kafka serves us at {places}{why}; `sidechain broker start` starts one here, --bootstrap or the "
            "setting `bootstrap` names another"
        )
    if "Authorization" in name or "Authentication" in name:
        return f"the cluster refuses us ({name}: {detail}); check the principal and its rights with `sidechain doctor`"
    return f"Kafka says {name}: {detail}; `sidechain doctor` looks further"
