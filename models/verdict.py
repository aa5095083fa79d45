"""PROMOTE, REVIEW or REJECT: what a comparison says for a candidate, by stated thresholds.

It decides nothing: a person activates a policy, and this is evidence. Rejecting comes first, then doubt; what gives no
cause for either is fit to be promoted. Shares are in basis points; a value on a limit is within it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sidechain.models.compare import Comparison, share_bp
from sidechain.models.policy import ACTIONS

Word = Literal["PROMOTE", "REVIEW", "REJECT"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Beyond which a candidate is not promoted, or is rejected."""

    inputs: int = 1_000  # fewer say too little
    labelled: int = 100  # of what either policy stops; fewer say too little about precision
    flips_bp: int = 100  # more than this share of the inputs flips: a person looks
    milder_bp: int = 10  # ... becomes milder: a person looks
    undecided_bp: int = 10  # ... was decided and would be rejected or taken for a repetition: rejected
    precision_bp: int = 100  # precision falls by more than this: rejected
    recall_bp: int = 100  # recall falls by more than this: rejected


STATED: Final = Thresholds()


class Verdict(NamedTuple):
    """The word, and a sentence for each threshold that was passed."""

    word: Word
    why: tuple[str, ...]


def verdict(found: Comparison, thresholds: Thresholds = STATED) -> Verdict:
    """What the comparison says for its candidate."""
    if against := tuple(_against(found, thresholds)):
        return Verdict("REJECT", against)
    if doubts := tuple(_doubts(found, thresholds)):
        return Verdict("REVIEW", doubts)
    return Verdict("PROMOTE", ("nothing flips",) if not found.sums.flips.count else ("every threshold is kept",))


def _against(found: Comparison, limit: Thresholds) -> Iterator[str]:
    lost = sum(one.count for (before, after), one in found.moves.items() if before in ACTIONS and after not in ACTIONS)
    if _exceeds(lost, found.sums.inputs, limit.undecided_bp):
        yield f"{lost:,} inputs were decided and would not be; the limit is {limit.undecided_bp} bp of all"
    before, after = found.sums.hits_before, found.sums.hits_after
    if min(before.named, after.named) >= limit.labelled:
        fall = (before.precision_bp or 0) - (after.precision_bp or 0)
        if fall > limit.precision_bp:
            yield f"precision falls by {fall} bp to {after.precision_bp}; the limit is {limit.precision_bp}"
    if before.bad >= limit.labelled:
        fall = (before.recall_bp or 0) - (after.recall_bp or 0)
        if fall > limit.recall_bp:
            yield f"recall falls by {fall} bp to {after.recall_bp}; the limit is {limit.recall_bp}"


def _doubts(found: Comparison, limit: Thresholds) -> Iterator[str]:
    sums = found.sums
    if sums.inputs < limit.inputs:
        yield f"{sums.inputs:,} inputs say little; {limit.inputs:,} are asked for"
    if not sums.flips.count:
        return
    if _exceeds(sums.flips.count, sums.inputs, limit.flips_bp):
        yield f"{share_bp(sums.flips.count, sums.inputs)} bp of the inputs flip; above {limit.flips_bp} somebody looks"
    if _exceeds(sums.milder, sums.inputs, limit.milder_bp):
        share = share_bp(sums.milder, sums.inputs)
        yield f"{share} bp of the inputs are decided more mildly; above {limit.milder_bp} somebody looks"
    if min(sums.hits_before.named, sums.hits_after.named) < limit.labelled:
        yield f"of fewer than {limit.labelled:,} inputs that were stopped anybody said whether they were bad"


def _exceeds(part: int, whole: int, limit_bp: int) -> bool:
    """Exactly, without the rounding of a share."""
    return part * 10_000 > limit_bp * whole
