"""Accounts that partitions share, through whole folds: sealed, delivered, crashed, repeated, replayed.

    python -m tests.bench.sharing_operations --entries 200000 --partitions 4 --seed 1

Worlds of `tests/sharing.py`, one after the other, until their chains hold so many entries. Of each, every transfer has
one entry, a ledger that reads entries only finds every account conserved and none overspent, counting what is under
way, and a replay seals the same bytes and leaves the same state. Exit 1 and the seed otherwise. `budget_operations`
plays more of them, faster, without the entries.
"""

import argparse
import sys
import time
from collections import Counter

from sidechain.agents.bench.place import machine
from tests.sharing import World

ACTS = 10_000  # of one world, which is checked whole


def play(partitions: int, seed: int) -> tuple[int, int, Counter[str]]:
    """One world: its entries, its crashes, and what its entries say. Raises AssertionError."""
    world = World(partitions, seed=seed)
    world.run(ACTS)
    world.conserved()  # with what is under way
    world.settle()
    counts = world.check()
    assert not counts["under way"]
    return sum(len(one.chain) for one in world.partitions), world.crashes, counts


def main() -> None:
    """Run it and report."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("entries", 200_000), ("partitions", 4), ("seed", 1)):
        options.add_argument(f"--{name}", type=int, default=default)
    asked = options.parse_args()
    began, entries, crashes, worlds = time.monotonic(), 0, 0, 0
    counts: Counter[str] = Counter()
    while entries < asked.entries:
        try:
            made, crashed, found = play(asked.partitions, asked.seed + worlds)
        except Exception as fault:
            print(f"\nseed {asked.seed + worlds}, {asked.partitions} partitions: {fault!r}")
            raise
        entries, crashes, worlds, counts = entries + made, crashes + crashed, worlds + 1, counts + found
        print(f"\r{entries:,} entries ", end="", file=sys.stderr, flush=True)
    took = time.monotonic() - began
    print(file=sys.stderr)
    print(
        f"{entries:,} entries of {worlds} worlds on {asked.partitions} partitions, {crashes:,} crashes: all conserved"
    )
    print("entries say: " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print(f"{took:.0f} s; {machine()}")


if __name__ == "__main__":
    main()
