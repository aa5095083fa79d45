"""The experts a pack asks for, made."""

from collections.abc import Mapping
from typing import Final

from sidechain.models.policy import Wet
from sidechain.models.wet.experts.contract import Expert
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.retrieval import Retrieval

OWN: Final = {"geometric": Geometric, "heuristic": Heuristic, "retrieval": Retrieval}


def experts_of(wet: Wet, seed: int, given: Mapping[str, Expert]) -> list[Expert]:
    """In the pack's order. `given`: those that are made elsewhere, by name; one that is asked for and not there is left
    out. The consensus is the panel's own.
    """
    made: list[Expert] = []
    for name in wet.experts:
        if name in given:
            made.append(given[name])
        elif name in OWN:
            made.append(OWN[name](wet.vector, seed=seed, warmup=wet.warmup))
    return made
