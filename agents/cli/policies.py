"""Which policy a command means: `--pack NAME` or `--policy FILE`, one of the two."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.problems import UsageProblem
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Policy

Pack = Annotated[str | None, typer.Option("--pack", metavar="NAME", help="A pack that comes with Sidechain.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="A pack file of your own.")]


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


def policy_of(pack: str | None, policy: Path | None) -> Policy:
    """The policy of these two options, of which one is given."""
    if (pack is None) == (policy is None):
        raise UsageProblem("name the policy with --pack NAME or --policy FILE, one of the two")
    try:
        return load_file(policy) if policy is not None else load_pack(str(pack))
    except PackError as error:
        raise UsageProblem(str(error)) from None
