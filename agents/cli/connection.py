"""The options of every command that talks to a cluster, and the settings they lead to.

def account(connection: Connection, json: Json = False) -> None:
    settings = connection.settings()
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents.cli.policies import PolicyNamed
from sidechain.agents.config import Loaded, load
from sidechain.agents.settings import Config

Bootstrap = Annotated[str | None, typer.Option("--bootstrap", metavar="HOST:PORT", help="The cluster's address.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="What all topics begin with; else sidechain.<pack>.")]
Profile = Annotated[str | None, typer.Option("--profile", help="A profile of the settings file.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Instead of sidechain.yaml.")]
ExportFolder = Annotated[
    Path | None, typer.Option("--export", metavar="DIR", help="What `sidechain export` wrote, instead of the topics.")
]


@dataclass(frozen=True)
class SettingsFile:
    """The options that say where settings are read."""

    profile: Profile = None
    config: ConfigFile = None

    def settings(self, **more: Any) -> Config:
        """The settings of this run; what the command line says comes first. `more`: options of the command itself."""
        return self.loaded(**more).config

    def loaded(self, **more: Any) -> Loaded:
        """The same, with where each value comes from. Raises `UsageProblem`."""
        flags = vars(self) | more
        return load(flags, file=flags.pop("config"), profile=flags.pop("profile"))


@dataclass(frozen=True)
class Address:
    """The options that say which cluster, and which topics there."""

    bootstrap: Bootstrap = None
    prefix: Prefix = None


# A dataclass has the fields of its last base first.
@dataclass(frozen=True)
class Cluster(SettingsFile, Address):
    """The options of a command that names its policy in its own way."""


@dataclass(frozen=True)
class Connection(Cluster, PolicyNamed):
    """The options of every other command that talks to a cluster."""
