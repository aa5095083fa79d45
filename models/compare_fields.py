"""A comparison as data: what `--json` prints, and what a proposal cites as evidence. Shares are basis points."""

from typing import Any

from sidechain.models.compare import Comparison, Flip, Flips, Hits, Share, Sums, share_bp
from sidechain.models.policy import Policy
from sidechain.models.verdict import Verdict


def fields(found: Comparison, candidate: Policy, said: Verdict, stake: str | None) -> dict[str, Any]:
    """Everything, in a fixed order: one comparison has one text."""
    return {
        "candidate": candidate.ref,
        "sealed_under": dict(sorted(found.policies.items())),
        "verdict": said.word,
        "why": list(said.why),
        "earliest": found.earliest_ms,
        "latest": found.latest_ms,
        "outside_period": found.outside,
        "stake": stake,
        **_sums(found.sums),
        "verdicts": {"before": _sorted(found.verdicts_before), "after": _sorted(found.verdicts_after)},
        "moves": [
            {"before": move[0], "after": move[1], **_flips(flips), "examples": [_flip(one) for one in shown]}
            for move, flips, shown in found.listed()
        ],
        "rules": _shares(found.rules),
        "typologies": _shares(found.typologies),
        "flips_by_the_same_rules": _flips(found.without_rules),
        "weeks": {week: _sums(sums) for week, sums in sorted(found.weeks.items())},
        "unknown_signals": {"before": _sorted(found.unknown_before), "after": _sorted(found.unknown_after)},
        "flags": {"before": _sorted(found.flags_before), "after": _sorted(found.flags_after)},
        "rejections": [
            {"before": before or None, "after": after or None, "inputs": count}
            for (before, after), count in sorted(found.rejections.items())
        ],
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "inputs": sums.inputs,
        "flips": sums.flips.count,
        "flips_bp": share_bp(sums.flips.count, sums.inputs),
        "stricter": sums.stricter,
        "milder": sums.milder,
        "value": sums.flips.stake,
        "value_unknown": sums.flips.unknown_stake,
        "labelled": sums.labelled,
        "caught": sums.caught,
        "missed": sums.missed,
        "before": _hits(sums.hits_before),
        "after": _hits(sums.hits_after),
    }


def _hits(hits: Hits) -> dict[str, Any]:
    return {
        "named": hits.named,
        "named_bad": hits.named_bad,
        "precision_bp": hits.precision_bp,
        "recall_bp": hits.recall_bp,
    }


def _flips(flips: Flips) -> dict[str, Any]:
    return {"flips": flips.count, "value": flips.stake, "value_unknown": flips.unknown_stake}


def _flip(flip: Flip) -> dict[str, Any]:
    return flip._asdict()


def _shares(table: dict[str, Share]) -> dict[str, Any]:
    return {
        name: {"before": one.before, "after": one.after, "began": one.began, "ended": one.ended, **_flips(one.flips)}
        for name, one in sorted(table.items())
    }


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
