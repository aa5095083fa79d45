"""Which policy a command means: `--pack NAME` or `--policy FILE`, one of the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.problems import UsageProblem
from sidechain.models.list_file import ListError, ListText, declared_as, read_list
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Policy

Pack = Annotated[str | None, typer.Option("--pack", metavar="NAME", help="A pack that comes with Sidechain.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="A pack file of your own.")]

ListFiles = Annotated[
    list[str] | None,
    typer.Option("--lists", metavar="NAME=FILE", help="Rows of a list the policy declares; repeat for more."),
]


@dataclass(frozen=True)
class PolicyNamed:
    """The options that name a policy."""

    pack: Pack = None
    policy: PolicyFile = None

    def named_policy(self) -> Policy:
        """The policy named on the command line. Raises `UsageProblem`, also when none is."""
        return policy_of(self.pack, self.policy)

    def policy_if_named(self) -> Policy | None:
        """The same; None when none is."""
        return None if self.pack is None and self.policy is None else self.named_policy()


def lists_of(policy: Policy, named: Sequence[str] | None) -> dict[str, ListText]:
    """The rows in the files of `--lists NAME=FILE`. Raises `UsageProblem`."""
    found: dict[str, ListText] = {}
    for one in named or ():
        name, equals, file = one.partition("=")
        if not equals or not file:
            raise UsageProblem(f"--lists {one}: write it as NAME=FILE")
        if name in found:
            raise UsageProblem(f"--lists names {name} twice")
        try:
            found[name] = read_list(Path(file), declared_as(policy, name))
        except ListError as error:
            raise UsageProblem(str(error)) from None
    return found


def policy_of(pack: str | None, policy: Path | None) -> Policy:
    """The policy of these two options, of which one is given."""
    if (pack is None) == (policy is None):
        raise UsageProblem("name the policy with --pack NAME or --policy FILE, one of the two")
    try:
        return load_file(policy) if policy is not None else load_pack(str(pack))
    except PackError as error:
        raise UsageProblem(str(error)) from None
