"""What the command line answers, asked in this process: half of a short command's work is the start of Python.

What a process of its own does (its environment, its signals, its pipes) is asked through the fixture `sidechain`.
"""

from subprocess import CompletedProcess

from typer.testing import CliRunner, Result

from sidechain.agents.cli import build


def answered(*words: object, stdin: bytes | str = b"") -> CompletedProcess[str]:
    """Exit code, output and errors of one command. A mistake of ours is raised."""
    done = _run(words, stdin)
    return CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def answered_bytes(*words: object, stdin: bytes | str = b"") -> CompletedProcess[bytes]:
    """The same, to the byte."""
    done = _run(words, stdin)
    return CompletedProcess(words, done.exit_code, done.stdout_bytes, done.stderr_bytes)


def _run(words: tuple[object, ...], stdin: bytes | str) -> Result:
    texts = [str(one) for one in words]
    return CliRunner().invoke(build(texts), texts, input=stdin, catch_exceptions=False)
