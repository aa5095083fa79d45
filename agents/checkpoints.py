"""Signing checkpoints and reading what an earlier owner signed: the keys of one worker, the names of its chains."""

from sidechain.agents.problems import UsageProblem
from sidechain.agents.settings import Config
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.note import Malformed


def origin_of(config: Config, partition: int, epoch: int) -> Origin:
    """Which chain: named by the prefix of its topics without the last dot, or by the pack where there is none."""
    log = config.topic_prefix.removesuffix(".") or config.pack_name
    origin = Origin(log, partition, epoch)
    try:
        return Origin.parse(str(origin))
    except Malformed:
        raise UsageProblem(
            f"the prefix {config.topic_prefix!r} cannot name a chain in a checkpoint: it may hold letters, digits, "
            "dots, underscores and hyphens, and begins with a letter or digit"
        ) from None
