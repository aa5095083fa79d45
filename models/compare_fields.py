"""A comparison as data: what `--json` prints, what a shadow reports, what a proposal cites. Shares are basis points.

figures(found, stake)      everything that was counted, in a fixed order: one comparison has one text
comparison_of(figures)     the comparison again, so that those of several partitions can be added up
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from sidechain.models.compare import Comparison, Flip, Flips, Hits, Share, Sums, share_bp
from sidechain.models.verdict import Verdict


def fields(found: Comparison, candidate: str, said: Verdict, stake: str | None) -> dict[str, Any]:
    """The figures, and what they say for the candidate; `stake`: the event's field that is at stake."""
    told = figures(found, stake)
    under = told.pop("sealed_under")
    return {"candidate": candidate, "sealed_under": under, "verdict": said.word, "why": list(said.why), **told}


def figures(found: Comparison, stake: str | None) -> dict[str, Any]:
    """Everything that was counted."""
    return {
        "sealed_under": _sorted(found.policies),
        "entries": [
            {"partition": partition, "from": first, "to": last}
            for partition, (first, last) in sorted(found.spans.items())
        ],
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
        "caught_value": sums.caught_stake,
        "missed": sums.missed,
        "missed_value": sums.missed_stake,
        "before": _hits(sums.hits_before),
        "after": _hits(sums.hits_after),
    }


def _hits(hits: Hits) -> dict[str, Any]:
    return {
        "named": hits.named,
        "named_bad": hits.named_bad,
        "bad": hits.bad,
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


class _Flips(msgspec.Struct):
    flips: int
    value: int
    value_unknown: int

    def read(self) -> Flips:
        return Flips(self.flips, self.value, self.value_unknown)


class _Hits(msgspec.Struct):
    named: int
    named_bad: int
    bad: int

    def read(self) -> Hits:
        return Hits(self.named, self.named_bad, self.bad)


class _Sums(_Flips, kw_only=True):
    inputs: int
    stricter: int
    milder: int
    labelled: int
    caught: int
    caught_value: int
    missed: int
    missed_value: int
    before: _Hits
    after: _Hits

    def sums(self) -> Sums:
        return Sums(
            inputs=self.inputs,
            flips=self.read(),
            stricter=self.stricter,
            milder=self.milder,
            labelled=self.labelled,
            caught=self.caught,
            missed=self.missed,
            caught_stake=self.caught_value,
            missed_stake=self.missed_value,
            hits_before=self.before.read(),
            hits_after=self.after.read(),
        )


class _Share(_Flips, kw_only=True):
    before: int
    after: int
    began: int
    ended: int

    def share(self) -> Share:
        return Share(self.before, self.after, self.began, self.ended, self.read())


class _Flip(msgspec.Struct):
    id: str | None
    partition: int
    seq: int
    at_ms: int | None
    before: str
    after: str
    stake: int | None
    began: tuple[str, ...]
    ended: tuple[str, ...]


class _Move(_Flips, kw_only=True):
    before: str
    after: str
    examples: list[_Flip]

    def shown(self) -> list[Flip]:
        return [Flip(*msgspec.structs.astuple(one)) for one in self.examples]


class _Pair(msgspec.Struct):
    before: dict[str, int]
    after: dict[str, int]


class _Rejection(msgspec.Struct):
    before: str | None
    after: str | None
    inputs: int


class _Span(msgspec.Struct, rename={"from_": "from"}):
    partition: int
    from_: int
    to: int


class _Figures(_Sums, kw_only=True):
    sealed_under: dict[str, int]
    entries: list[_Span]
    earliest: int | None
    latest: int | None
    outside_period: int
    verdicts: _Pair
    moves: list[_Move]
    rules: dict[str, _Share]
    typologies: dict[str, _Share]
    flips_by_the_same_rules: _Flips
    weeks: dict[str, _Sums]
    unknown_signals: _Pair
    flags: _Pair
    rejections: list[_Rejection]


def comparison_of(told: Mapping[str, Any], examples: int = 3) -> Comparison:
    """The comparison these figures are of. Raises ValueError for what are none."""
    read = msgspec.convert(told, _Figures)
    return Comparison(
        examples=examples,
        sums=read.sums(),
        weeks={week: one.sums() for week, one in read.weeks.items()},
        moves={(one.before, one.after): one.read() for one in read.moves},
        verdicts_before=Counter(read.verdicts.before),
        verdicts_after=Counter(read.verdicts.after),
        rules={name: one.share() for name, one in read.rules.items()},
        typologies={name: one.share() for name, one in read.typologies.items()},
        without_rules=read.flips_by_the_same_rules.read(),
        unknown_before=Counter(read.unknown_signals.before),
        unknown_after=Counter(read.unknown_signals.after),
        flags_before=Counter(read.flags.before),
        flags_after=Counter(read.flags.after),
        rejections=Counter({(one.before or "", one.after or ""): one.inputs for one in read.rejections}),
        policies=Counter(read.sealed_under),
        spans={one.partition: (one.from_, one.to) for one in read.entries},
        outside=read.outside_period,
        earliest_ms=read.earliest,
        latest_ms=read.latest,
        shown={(one.before, one.after): one.shown() for one in read.moves},
    )
