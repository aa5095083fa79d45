"""The command line's frame: every command exists, failures are a sentence and an exit code, help comes quickly."""

import inspect
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sidechain.agents import cli
from sidechain.agents.cli import build
from sidechain.agents.cli.commands import COMMANDS, GROUPS
from sidechain.agents.cli.output import Progress, emit
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem, UsageProblem
from sidechain.models.pack_reader import PackError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_a_function_with_a_page(name):
    module, _, function = COMMANDS[name].target.partition(":")
    found = getattr(import_module(f"sidechain.agents.cli.{module}"), function)
    assert inspect.getdoc(found)
    assert COMMANDS[name].help.endswith(".")
    page = CliRunner().invoke(build(name.split()), [*name.split(), "--help"])
    assert page.exit_code == 0


def test_every_group_of_the_table_has_a_line():
    assert {name.split()[0] for name in COMMANDS if " " in name} <= set(GROUPS)


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (AnswerIsNo("the chain is broken"), 1, "sidechain: the chain is broken\n"),
        (UsageProblem("name a pack"), 2, "sidechain: name a pack\n"),
        (EnvironmentProblem("no broker"), 3, "sidechain: no broker\n"),
        (PackError([]), 2, "sidechain: \n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["no", "usage", "environment", "pack", "interrupted"],
)
def test_a_failure_is_one_sentence_and_an_exit_code(monkeypatch, fault, code, sentence):
    done = run(monkeypatch, lambda: throw(fault))
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", sentence)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    """It must not look like the user's."""
    done = run(monkeypatch, lambda: throw(ZeroDivisionError("ours")))
    assert isinstance(done.exception, ZeroDivisionError)


def test_a_mistake_of_ours_never_ends_as_an_answer(monkeypatch, capsys):
    """1 would be "no": a script that asks whether a chain is whole would take our mistake for a broken chain."""
    monkeypatch.setattr(cli, "_imported", lambda _command: lambda: throw(ZeroDivisionError("ours")))
    monkeypatch.setattr(sys, "argv", ["sidechain", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    said = capsys.readouterr().err
    assert (said.startswith("Traceback"), said.endswith("ZeroDivisionError: ours\n")) == (True, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize(
    "words", [["policy", "show", "--pack", "web"], ["policy", "show", "--pack", "web", "--json"], ["--version"]]
)
@pytest.mark.parametrize("buffered", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_an_output_without_room_is_one_sentence(words, buffered):
    """Text, data and what is answered before any command begins; the exit code is no answer."""
    command = [sys.executable, "-m", "sidechain.agents", *words]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | buffered
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environ)
    assert done.returncode == 3
    assert done.stderr == "sidechain: the output cannot be written to its end: No space left on device\n"


def run(monkeypatch, function):
    """Invoke `sidechain doctor` with another function behind it."""
    monkeypatch.setattr(cli, "_imported", lambda _command: function)
    return CliRunner().invoke(build(["doctor"]), ["doctor"])


def throw(fault: BaseException) -> None:
    raise fault


def test_help_imports_no_command():
    """What makes a command slow to import must not make `--help` slow."""
    heavy = "{'aiokafka', 'numpy', 'sklearn', 'faust', 'sidechain.models.policy'}"
    code = (
        "import sys\nsys.argv = ['sidechain', '--help']\nfrom sidechain.agents.cli import main\n"
        f"try: main()\nfinally: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert all(name.split()[0] in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], 0), (["brokr"], 2), (["broker", "strat"], 2), (["decide", "--pak", "web"], 2)]
)
def test_words_nobody_knows_are_a_usage_error(sidechain, words, code):
    assert sidechain(*words).returncode == code


def test_an_interrupt_ends_quietly():
    """A command that waits for input, and Ctrl-C."""
    command = [sys.executable, "-m", "sidechain.agents", "decide", "--pack", "web"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x\n" * 2_000)  # a whole batch, so that it answers and goes on waiting
    process.stdin.flush()
    assert process.stdout.read(1) == b"{"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr


def test_a_reader_that_has_seen_enough_is_no_failure_worth_words():
    command = [sys.executable, "-m", "sidechain.agents", "decide", "--pack", "web"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    stderr = process.communicate(b"x\n" * 10_000, timeout=60)[1]
    assert process.returncode == 141
    assert stderr == b""


def test_json_is_one_line_of_data(capfdbinary):
    emit({"path": Path("a"), "none": None}, json=True)
    assert capfdbinary.readouterr().out == b'{"path":"a","none":null}\n'


def test_progress_goes_to_standard_error_and_ends_with_the_count(capsys):
    with Progress("events sent", total=1_500) as progress:
        for _ in range(3):
            progress.advance(500)
    assert capsys.readouterr() == ("", "1,500 of 1,500 events sent\n")


def test_progress_of_nothing_says_nothing(capsys):
    with Progress("events sent"):
        pass
    assert capsys.readouterr() == ("", "")


def test_the_exit_of_a_command_is_its_own(monkeypatch):
    assert run(monkeypatch, lambda: throw(typer.Exit(7))).exit_code == 7
