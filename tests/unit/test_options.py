"""Options several commands share: a parameter that is a dataclass stands for its fields, and arrives as the object."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from sidechain.agents.cli.connection import Cluster, Connection, SettingsFile
from sidechain.agents.cli.options import spelled_out
from sidechain.agents.problems import UsageProblem


@dataclass(frozen=True)
class Place:
    """Two options, of which one must be given."""

    street: Annotated[str, typer.Option()]
    number: Annotated[int, typer.Option()] = 1


def invoked(command, *words):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(spelled_out(command))
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["x", "--street", "a"], ("x", Place("a", 1), False)),
        (["x", "--street", "a", "--number", "7", "--loud"], ("x", Place("a", 7), True)),
    ],
)
def test_a_command_is_handed_the_object(words, given):
    got = []

    def command(name: str, *, place: Place, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        got.append((name, place, loud))

    assert invoked(command, *words).exit_code == 0
    assert got == [given]


def test_an_option_of_the_group_that_must_be_given_must_be_given():
    def command(place: Place) -> None:
        raise AssertionError(place)

    assert invoked(command, "--number", "7").exit_code == 2


def test_the_options_stand_in_the_help_where_the_parameter_stood():
    def command(
        before: Annotated[int, typer.Option()] = 0, *, place: Place, after: Annotated[int, typer.Option()] = 0
    ) -> None:
        raise AssertionError(before, place, after)

    page = invoked(command, "--help").output
    at = [page.index(one) for one in ("--before", "--street", "--number", "--after")]
    assert at == sorted(at)


def test_an_option_that_hides_another_is_a_mistake_of_ours():
    def command(street: Annotated[str, typer.Option()], place: Place) -> None:
        raise AssertionError(street, place)

    with pytest.raises(TypeError, match="an option twice: street"):
        spelled_out(command)


def test_a_command_without_groups_is_left_as_it_is():
    def command(name: str) -> None:
        raise AssertionError(name)

    assert spelled_out(command) is command


@pytest.mark.parametrize(
    ("group", "options"),
    [
        (SettingsFile, ["profile", "config"]),
        (Cluster, ["bootstrap", "prefix", "profile", "config"]),
        (Connection, ["pack", "policy", "bootstrap", "prefix", "profile", "config"]),
    ],
)
def test_the_groups_have_their_options_in_this_order(group, options):
    assert list(vars(group())) == options


def test_what_the_command_line_says_comes_before_the_settings_file(tmp_path):
    file = tmp_path / "sidechain.yaml"
    file.write_text("pack: web\npartitions: 2\nprefix: a.\nprofiles: {there: {prefix: b.}}\n", encoding="utf-8")
    given = Connection(config=file, profile="there", bootstrap="kafka:1")
    settings = given.settings(partitions=3)
    assert (settings.pack, settings.prefix, settings.bootstrap, settings.partitions) == ("web", "b.", "kafka:1", 3)
    assert given.loaded().origins["bootstrap"] == "--bootstrap"


def test_a_policy_is_named_in_one_way():
    assert Connection().policy_if_named() is None
    assert Connection(pack="web").named_policy().name == "web"
    for both in (Connection(pack="web", policy=Path("x.yaml")), Connection()):
        with pytest.raises(UsageProblem, match="one of the two"):
            both.named_policy()
