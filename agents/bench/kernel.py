"""`bench kernel`: what budgets, lists and typologies cost a decision, in one process, in turns.

The same events are decided by folds under the pack as it is, under the pack without one of the three, and without all
of them. What a worker does with a batch is timed: folding it and asking what to write down. Lists are in force, with
rows that no event names. A rule that asks a list goes with the lists, and leaves its typologies.
"""

import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Any, Final

from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import machine
from sidechain.agents.problems import UsageProblem
from sidechain.models.decider import Decider
from sidechain.models.dry import Fold, Line
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import ListSchema, Policy

BATCH: Final = 1_000  # events folded at once
PARTITIONS: Final = 4  # as many as share the accounts
PARTS: Final = ("budgets", "lists", "typologies")


def kernel(pack: str, events: int, rounds: int, rows: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Run the measurement and return its figures; `events` a round, `rows` on each list."""
    policy = load_pack(pack)
    there = [one for one in PARTS if _has(policy, one)]
    if not there:
        raise UsageProblem(f"pack {pack} has none of {', '.join(PARTS)}: there is nothing to compare")
    kinds = {
        "on": policy,
        **{f"without {one}": _without(policy, one) for one in there},
        "off": _without(policy, *there),
    }
    folds = {name: _fold(one, rows) for name, one in kinds.items()}
    source = numbered(policy, events * (rounds + 1))
    gc.freeze()  # as a worker does
    times: dict[str, list[float]] = {name: [] for name in folds}
    for turn in range(rounds + 1):
        values = list(islice(source, events))
        for name in list(folds) if turn % 2 else list(folds)[::-1]:
            took = _timed(folds[name], values)
            if turn:  # the first round warms up
                times[name].append(took / events * 1e6)
        if turn:
            said = ", ".join(f"{name} {spent[-1]:.1f}" for name, spent in times.items())
            told(f"round {turn} of {rounds}, microseconds an event: {said}")
    gc.unfreeze()
    return {
        "us_per_event": {name: round(median(spent), 2) for name, spent in times.items()},
        "ratio": _ratio(times["on"], times["off"]),
        "ratios": {one: _ratio(times["on"], times[f"without {one}"]) for one in there},
        "events": events,
        "rounds": rounds,
        "rows": rows,
        "pack": policy.ref,
        "load": [round(one, 2) for one in os.getloadavg()],
        "machine": machine(),
    }


def _ratio(these: list[float], those: list[float]) -> float:
    """The median of the rounds' ratios: a round that was disturbed disturbed both."""
    return round(median(one / other for one, other in zip(these, those, strict=True)), 3)


def _timed(fold: Fold, values: list[bytes]) -> float:
    first = fold.next["events"]
    records = [Line(first + at, None, value) for at, value in enumerate(values)]
    began = time.process_time()
    for at in range(0, len(records), BATCH):
        fold.events(records[at : at + BATCH])
        fold.changes()
    return time.process_time() - began


def _fold(policy: Policy, rows: int) -> Fold:
    lists = {one.name: _rows(one, rows) for one in policy.lists}
    return Decider(policy, partitions=PARTITIONS, lists=lists).fold


def _rows(declared: ListSchema, count: int) -> Mapping[Any, Any] | list[Any]:
    keys = [f"bench-{at:07d}" if declared.key_type == "string" else -1 - at for at in range(count)]
    if declared.value_type is None:
        return keys
    return dict.fromkeys(keys, "x" if declared.value_type == "string" else 1)


def _has(policy: Policy, part: str) -> bool:
    return bool({"budgets": policy.budgeting, "lists": policy.lists, "typologies": policy.typologies}[part])


def _without(policy: Policy, *parts: str) -> Policy:
    if "budgets" in parts:
        policy = replace(policy, budgeting=None)
    if "lists" in parts:
        asking = {one.id for one in policy.rules if any(name.startswith("lists.") for name in one.when.variables)}
        rules = tuple(one for one in policy.rules if one.id not in asking)
        typologies = tuple(
            replace(one, weights={rule: weight for rule, weight in one.weights.items() if rule not in asking})
            for one in policy.typologies
        )
        policy = replace(policy, lists=(), rules=rules, typologies=typologies)
    return replace(policy, typologies=()) if "typologies" in parts else policy
