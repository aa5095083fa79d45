"""What is known of each rule before anybody looks: its cause, the stage it is about, and where to begin.

A rule nobody has written down here has no cause of its own, so only what it shows (stage, entity, time) joins it to
others. Names that begin with `Sidechain` have a section in deploy/runbook.md; a test holds the two together.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

RUNBOOK: Final = "deploy/runbook.md"
CONTRACT: Final = "topics/README.md#alerts"


class Known(NamedTuple):
    """What a rule says before its figures are read."""

    cause: str  # rules of one cause have been seen to fire together
    stage: str | None = None  # where its labels do not say


RULES: Final[Mapping[str, Known]] = MappingProxyType(
    {
        "SidechainLaneHalted": Known("log", "dry"),
        "SidechainTakeoverFailing": Known("log", "dry"),
        "SidechainShadowBroken": Known("log", "shadow"),
        "SidechainCommitStalled": Known("cluster", "dry"),
        "SidechainCheckpointStalled": Known("cluster", "dry"),
        "SidechainTargetDown": Known("process"),
        "SidechainDeadLetters": Known("input", "dry"),
        "SidechainUnreadable": Known("input"),
        "SidechainWetLag": Known("backlog", "wet"),
        "SidechainTapDropping": Known("backlog", "tap"),
        "SidechainShadowLag": Known("backlog", "shadow"),
        "SidechainOverflow": Known("backlog"),
        "SidechainBottleneck": Known("backlog"),
        "SidechainDowngraded": Known("governance", "dry"),
        "SidechainDrift": Known("drift", "wet"),
        "SidechainExpertLeftAlone": Known("model", "wet"),
        "SidechainTrainerLosing": Known("model", "trainer"),
        "SidechainMetricAnomaly": Known("metric"),
        "SidechainIncidentUntold": Known("process", "sentinel"),
        "InputDrift": Known("drift", "wet"),
        "LabelDrift": Known("drift", "wet"),
        "PerformanceDrift": Known("drift", "wet"),
        "MetricAnomaly": Known("metric"),
    }
)

# What to look at first, by cause.
FIRST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "log": "Keep every topic as it is. The worker's log names shard, partition and offset; `sidechain verify` says"
        " whether the chain up to there is whole.",
        "cluster": "Ask the brokers first: are all up, and are enough replicas in sync? A worker goes on by itself once"
        " they are.",
        "process": "Is the process there? Exit status 70 is a fault of ours, 3 the environment, 137 usually memory.",
        "input": "Look at who writes: the reason and the original bytes stand with the dead letters.",
        "backlog": "See which stage the optimizer names and why (`sidechain optimizer show`); what comes after it is"
        " late because of it.",
        "governance": "Requests cost more than was planned for, three times in a row: see which, then whether the plan"
        " is still right.",
        "drift": "Compare the features named with the week before. A source that changed and a model that aged look"
        " alike until outcomes come.",
        "model": "The worker's log names the expert or the fit, and the error. What it was given last is where to"
        " begin; others speak meanwhile, so nothing is urgent.",
        "metric": "See what else changed at that time, and whether the metric has come back: a new level is usual"
        " once it has been seen, so one that stays is told once.",
    }
)
UNKNOWN: Final = "No cause is known for these rules; they came together in stage, entity or time."


def known(rule: str) -> Known | None:
    """What is known of a rule."""
    return RULES.get(rule)


def link(rule: str) -> str:
    """Where to read on."""
    return f"{RUNBOOK}#{rule.lower()}" if rule in RULES and rule.startswith("Sidechain") else CONTRACT


def first_look(cause: str | None) -> str:
    """One sentence or two: where to begin."""
    return FIRST.get(cause or "", UNKNOWN)
