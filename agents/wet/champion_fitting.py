"""The process that fits champions: outcomes in on stdin, models out on stdout, until stdin ends.

A fit takes a whole core for a minute. In a process of its own, at the lowest priority, it can be slow, crash or be
killed without harm to anything but itself. It dies with its parent, because stdin ends then.
"""

import os
import sys
from typing import Final

import numpy as np

from sidechain.agents.wet import frames
from sidechain.models.wet.boosted_fit import ROUNDS, fit

NICE: Final = 10  # on top of what the trainer has stepped back already


def main() -> int:
    """Serve until the parent is gone."""
    os.nice(NICE)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(frames.pack(ready=True))  # scikit-learn is imported: from here on a fit is all a request costs
    answers.flush()
    while len(head := requests.read(frames.HEAD.size)) == frames.HEAD.size:
        asked = frames.unpack(requests.read(frames.length(head)))
        names = tuple(str(one) for one in asked["names"])
        model = fit(asked["rows"], asked["is_bad"], names, int(asked["seed"]), int(asked["version"]), rounds)
        answers.write(frames.pack(model=np.frombuffer(model.to_bytes(), dtype=np.uint8)))
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
