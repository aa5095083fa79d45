"""Fuzz the kernel: `python -m tests.fuzz --inputs 1000000 --seed 7 --jobs 2`, or `--repeat FILE` for a finding.

Inputs come in chains of 1,000. Prints the seed, the rate while it runs, and what became of every input; exit 1 and a
file with the fewest inputs that show it when something must not be.
"""

import argparse
import random
import sys
from pathlib import Path

from tests.fuzz.campaign import fuzz, repeat


def main() -> int:
    """Returns the exit code."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    words.add_argument("--inputs", type=int, default=1_000_000)
    words.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    words.add_argument("--jobs", type=int, default=2)
    words.add_argument("--repeat", type=Path, metavar="FILE", help="a file this command has written")
    options = words.parse_args()
    if options.repeat:
        return repeat(options.repeat)
    try:
        return fuzz(options.inputs, options.seed, options.jobs)
    except KeyboardInterrupt:
        print("interrupted; nothing was found until then", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
