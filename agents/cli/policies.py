"""Which policy a command means: `--pack NAME` or `--policy FILE`, one of the two."""

from pathlib import Path

from sidechain.agents.problems import UsageProblem
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Policy


def policy_of(pack: str | None, policy: Path | None) -> Policy:
    """The policy named on the command line."""
    if (pack is None) == (policy is None):
        raise UsageProblem("name the policy with --pack NAME or --policy FILE, one of the two")
    try:
        return load_file(policy) if policy is not None else load_pack(str(pack))
    except PackError as error:
        raise UsageProblem(str(error)) from None
