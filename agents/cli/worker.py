"""`sidechain worker dry|tap|wet`: the processes that decide, listen and learn."""

from typing import Annotated

import typer

from sidechain.agents.cli.connection import Bootstrap, ConfigFile, Pack, PolicyFile, Prefix, Profile, connected

MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", metavar="PORT", help="Serve /metrics here, on loopback.")
]
KeyFile = Annotated[
    str | None, typer.Option("--pseudonym-key-file", metavar="FILE", help="The secret pseudonyms are made with.")
]


def dry(
    pack: Pack = None,
    policy: PolicyFile = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    profile: Profile = None,
    config: ConfigFile = None,
    metrics_port: MetricsPort = None,
    pseudonym_key_file: KeyFile = None,
) -> None:
    """Decide: events in, sealed decisions out, exactly once, until SIGTERM.

    Workers of one prefix share its partitions. The policy given is the one a chain begins under; afterwards policies
    change through `control` only.
    """
    _work("dry", pack, policy, bootstrap, prefix, profile, config, metrics_port, pseudonym_key_file)


def tap(
    pack: Pack = None,
    policy: PolicyFile = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    profile: Profile = None,
    config: ConfigFile = None,
    metrics_port: MetricsPort = None,
    pseudonym_key_file: KeyFile = None,
) -> None:
    """Copy what was decided to the wet side, without what names anybody, until SIGTERM."""
    _work("tap", pack, policy, bootstrap, prefix, profile, config, metrics_port, pseudonym_key_file)


def wet(
    pack: Pack = None,
    policy: PolicyFile = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    profile: Profile = None,
    config: ConfigFile = None,
    metrics_port: MetricsPort = None,
    pseudonym_key_file: KeyFile = None,
) -> None:
    """Score what was tapped and advise the next decision, until SIGTERM. It never blocks one."""
    _work("wet", pack, policy, bootstrap, prefix, profile, config, metrics_port, pseudonym_key_file)


def _work(
    role: str,
    pack: Pack,
    policy: PolicyFile,
    bootstrap: Bootstrap,
    prefix: Prefix,
    profile: Profile,
    config: ConfigFile,
    metrics_port: MetricsPort,
    pseudonym_key_file: KeyFile,
) -> None:
    from sidechain.agents import roles
    from sidechain.agents.worker import work

    more = {"metrics_port": metrics_port, "pseudonym_key_file": pseudonym_key_file}
    code = work(role, getattr(roles, role), connected(pack, policy, bootstrap, prefix, profile, config, **more))
    raise typer.Exit(code)
