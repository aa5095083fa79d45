"""What a run of faults came to, in words, for whoever was not there."""

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.scene import Scene, Terms


@dataclass
class Inflicted:
    """One fault."""

    kind: str
    at_s: float
    detail: str = ""
    harm_s: float = 0.0  # until the harm was done
    settled_s: float = 0.0  # from then until everything visible was decided and found right
    entries: int = 0  # checked and decided anew by then
    problem: str = ""

    @property
    def words(self) -> str:
        """One line."""
        end = "FAILED" if self.problem else f"{self.harm_s:.1f} + {self.settled_s:.1f} s"
        return f"{self.kind}: {self.detail}; {end}"


@dataclass
class Outcome:
    """The whole run."""

    command: str
    seed: int
    rate: float
    terms: Terms
    faults: list[Inflicted] = field(default_factory=list)
    looks: dict[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0
    decided: int = 0
    acknowledged: int = 0
    visible: int = 0
    outcomes: int = 0  # visible ones, those that were forwarded included
    entries: int = 0
    checkpoints: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    witnessed: list[str] = field(default_factory=list)  # faults the witness found
    problem: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)  # kinds that cannot be inflicted here, and why

    def seen(self, scene: Scene) -> None:
        """Take over what the scene and the witness know."""
        found = scene.observer.last
        self.elapsed_s = self.elapsed_s or time.monotonic() - scene.began
        self.decided = scene.decided
        self.acknowledged = scene.sender.last.acknowledged
        self.visible = sum(one.visible for one in found.partitions.values())
        self.outcomes = sum(one.outcomes for one in found.partitions.values())
        self.entries = sum(one.entries for one in found.partitions.values())
        self.checkpoints = sum(one.checkpoints for one in found.partitions.values())
        for one in found.partitions.values():
            self.kinds.update(one.kinds)
        self.ends = scene.ends
        self.witnessed = found.faults

    @property
    def per_s(self) -> float:
        """Events decided a second, over everything that happened."""
        return self.decided / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def is_well(self) -> bool:
        """Whether every check held."""
        return not (self.problem or self.witnessed or any(one.problem for one in self.faults))

    @property
    def sentence(self) -> str:
        """The run in one line."""
        failed = sum(bool(one.problem) for one in self.faults)
        return (
            f"{len(self.faults)} faults of {len({one.kind for one in self.faults})} kinds, {failed} failed; "
            f"{self.decided:,} events decided at {self.per_s:,.0f}/s over {self.elapsed_s:,.0f} s; "
            f"{len(self.witnessed)} findings of the witness"
        )

    def summary(self) -> dict[str, Any]:
        """For machines."""
        return {
            "command": self.command,
            "well": self.is_well,
            "problem": self.problem,
            "faults": len(self.faults),
            "of_each_kind": Counter(one.kind for one in self.faults),
            "failed": [one.kind for one in self.faults if one.problem],
            "decided": self.decided,
            "decided_per_s": round(self.per_s),
            "elapsed_s": round(self.elapsed_s, 1),
            "visible": self.visible,
            "outcomes": self.outcomes,
            "acknowledged": self.acknowledged,
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "witnessed": self.witnessed,
            "left_out": list(self.left_out),
            "machine": machine(),
        }


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def written(outcome: Outcome) -> str:
    """The report."""
    kinds = Counter(one.kind for one in outcome.faults)
    failed = Counter(one.kind for one in outcome.faults if one.problem)
    terms, settled, refused = outcome.terms, outcome.kinds["settlement"], outcome.kinds["refused-outcome"]
    lines = [
        "# Faults under load",
        "",
        f"{'Every check held' if outcome.is_well else 'NOT WELL'}: {outcome.sentence}.",
        "",
        f"    {outcome.command}",
        "",
        f"- {time.strftime('%Y-%m-%d %H:%M')}, {machine()}; broker, workers, load and witness share it",
        f"- {terms.partitions} partitions in shards of {terms.shard_size}, {terms.workers} workers",
        f"- sessions of {terms.session_s:g} s, load {terms.rate:,.0f} events/s",
        f"- {outcome.visible:,} visible events, {outcome.acknowledged:,} acknowledged to the sender",
        f"- {outcome.outcomes:,} visible outcomes: {settled:,} settle a decision, {refused:,} are refused, and why",
        f"- {outcome.decided:,} decided: mean {outcome.per_s:,.0f}/s, outages included",
        f"- {outcome.entries:,} entries sealed, linked and decided anew byte for byte: "
        + ", ".join(f"{count:,} {kind}" for kind, count in sorted(outcome.kinds.items())),
        f"- {outcome.checkpoints:,} checkpoints compared with the entries they cover",
        "- lost 0, decided twice 0, forks 0" if not outcome.witnessed else "- FOUND: " + "; ".join(outcome.witnessed),
        "- workers that ended and were started again, by exit code: "
        + (", ".join(f"{code}: {count}" for code, count in sorted(outcome.ends.items())) or "none"),
    ]
    lines += [f"- NOT INFLICTED, {kind}: {why}" for kind, why in outcome.left_out.items()]
    if outcome.problem:
        lines.append(f"- ended early: {outcome.problem}")
    lines += ["", "| kind of fault | times | failed |", "|---|---|---|"]
    lines += [f"| {kind} | {count} | {failed[kind]} |" for kind, count in sorted(kinds.items())]
    lines += ["", "| # | at s | fault | harm s | settled s | entries checked | |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {number} | {one.at_s:.0f} | {one.kind}: {one.detail} | {one.harm_s:.1f} | {one.settled_s:.1f} | "
        f"{one.entries:,} | {'FAILED' if one.problem else 'exact'} |"
        for number, one in enumerate(outcome.faults, 1)
    ]
    for name, said in outcome.looks.items():
        lines += ["", f"## {name}, at the end", "", "```", said, "```"]
    for number, one in enumerate(outcome.faults, 1):
        if one.problem:
            lines += ["", f"## What failed: {number}, {one.kind}", "", "```", one.problem[:20_000], "```"]
    return "\n".join(lines) + "\n"
