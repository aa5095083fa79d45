"""Random budget operations on several partitions at once, with crashes, rebalances and transfers under way.

    python -m tests.bench.budget_operations --operations 1000000 --partitions 4 --seed 1

Every operation is checked against a ledger that knows the records alone (`tests/budget_world.py`); every 20,000 the
whole world is: over all partitions, what was given, is under way or has lapsed is the limit. A crash restores from what
was committed, in any order, and must answer what is delivered again with the same records. Exit 1 and the seed
otherwise. `--every 5` walks through every sequence of five operations in a world of two accounts instead.
"""

import argparse
import sys
import time
from collections.abc import Callable
from random import Random

from sidechain.agents.bench.place import machine
from tests.budget_small import every_sequence
from tests.budget_world import Place, World, crowded

CHECKED_EVERY = 20_000
WEIGHTS = {
    "reserve": 48,
    "end": 27,
    "deliver": 14,
    "commit": 8,
    "wrong": 1.5,
    "crash": 1,
    "rebalance": 0.5,
}


def play(operations: int, partitions: int, seed: int, told: Callable[[int], None] = lambda _count: None) -> World:
    """Play them. Raises AssertionError where a promise is broken."""
    world, random = World(partitions, crowded(plenty=5), seed=seed), Random(seed)
    names = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=min(operations, 100_000))
    steps: dict[str, Callable[[Place, int], None]] = {name: getattr(world, name) for name in WEIGHTS}
    for count in range(1, operations + 1):
        number = random.getrandbits(40)
        place = world.places[number % partitions]
        steps[names[random.randrange(len(names))]](place, number // partitions)
        if count % CHECKED_EVERY == 0:
            world.check()
            told(count)
    world.drain()
    return world


def main() -> None:
    """Run it and report."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("operations", 1_000_000), ("partitions", 4), ("seed", 1)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--every", type=int, help="every sequence of so many operations instead")
    asked = options.parse_args()
    began = time.monotonic()
    if asked.every:
        count = every_sequence(asked.every)
        print(f"{count:,} sequences of {asked.every} operations: every account conserved")
        print(f"{time.monotonic() - began:.0f} s; {machine()}")
        return
    try:
        world = play(asked.operations, asked.partitions, asked.seed, _told)
    except Exception as fault:
        print(f"\nseed {asked.seed}, {asked.partitions} partitions: {fault!r}")
        raise
    took = time.monotonic() - began
    print(file=sys.stderr)
    print(
        f"{asked.operations:,} operations on {asked.partitions} partitions, seed {asked.seed}: every account conserved"
    )
    print("done:    " + ", ".join(f"{name} {count:,}" for name, count in sorted(world.done.items())))
    print("refused: " + ", ".join(f"{name} {count:,}" for name, count in sorted(world.refused.items())))
    print(f"lapsed with their period: {sum(world.ledger.lapsed.values()):,} of what was transferred")
    print(f"{took:.0f} s, {asked.operations / took:,.0f} operations/s; {machine()}")


def _told(count: int) -> None:
    print(f"\r{count:,} operations ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
