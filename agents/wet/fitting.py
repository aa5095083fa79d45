"""The process that fits forests: samples in on stdin, models out on stdout, until stdin ends.

A fit takes a whole core for a while. In a process of its own, at low priority, it can be slow, crash or be killed
without harm to a score. It dies with its parent, because stdin ends then.
"""

import os
import sys
from typing import Final

import numpy as np

from sidechain.agents.wet import frames
from sidechain.models.wet.fit import fit

NICE: Final = 10  # a tenth of a full share on a busy machine; the lowest would starve there


def main() -> int:
    """Serve until the parent is gone."""
    os.nice(NICE)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(frames.pack(ready=True))  # scikit-learn is imported: from here on a fit is all a request costs
    answers.flush()
    while len(head := requests.read(frames.HEAD.size)) == frames.HEAD.size:
        asked = frames.unpack(requests.read(frames.length(head)))
        names = tuple(str(one) for one in asked["names"])
        model = fit(asked["sample"], names, int(asked["seed"]), int(asked["version"]))
        answers.write(frames.pack(model=np.frombuffer(model.to_bytes(), dtype=np.uint8)))
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
