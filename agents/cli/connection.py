"""The options of every command that talks to a cluster, and the settings they lead to."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents.config import Loaded, load
from sidechain.agents.settings import Config

Pack = Annotated[str | None, typer.Option("--pack", metavar="NAME", help="A pack that comes with Sidechain.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="A pack file of your own.")]
Bootstrap = Annotated[str | None, typer.Option("--bootstrap", metavar="HOST:PORT", help="The cluster's address.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="What all topics begin with; else sidechain.<pack>.")]
Profile = Annotated[str | None, typer.Option("--profile", help="A profile of the settings file.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Instead of sidechain.yaml.")]


def connected(
    pack: str | None = None,
    policy: Path | None = None,
    bootstrap: str | None = None,
    prefix: str | None = None,
    profile: str | None = None,
    config: Path | None = None,
    **more: Any,
) -> Config:
    """The settings of this run; the options given on the command line come first."""
    return loaded(pack, policy, bootstrap, prefix, profile, config, **more).config


def loaded(
    pack: str | None = None,
    policy: Path | None = None,
    bootstrap: str | None = None,
    prefix: str | None = None,
    profile: str | None = None,
    config: Path | None = None,
    **more: Any,
) -> Loaded:
    """`connected`, with where each value comes from."""
    flags = {"pack": pack, "policy": policy, "bootstrap": bootstrap, "prefix": prefix, **more}
    return load(flags, file=config, profile=profile)
