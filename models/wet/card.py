"""A model card: what a model was made of, how it did on outcomes it had not seen, and what it is not good for.

    card = card_of(ended, data, ...)      one line of JSON beside the model's file, named by its own digest
    markdown(card)                        the same for people

Its figures are those of the trial: every row was scored when it was decided and judged when its outcome was known. The
error rates of a segment are told at one threshold for all of them: the score that as many rows reach as were bad, so
that overall as many are named as there are, but for rows that share that very score.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from sidechain.models import utc
from sidechain.models.verdict import Word
from sidechain.models.wet.training import Ended, Request
from sidechain.models.wet.trial import FIRST, Figures, Judged, Week

VERSION: Final = 1
VALUES_MOST: Final = 6  # a group with as many values or fewer is told value by value, else by quarters
BYTES_MOST: Final = 1_000_000


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What it was fitted to."""

    topics: dict[str, dict[str, tuple[int, int]]]  # topic -> partition -> first and last offset that was read
    rows: int
    bad: int
    earliest: int  # event time of the first and the last decision, ms
    latest: int
    until: int  # event time up to which outcomes were known, ms: none of a later one was used
    forgotten: int  # decisions that went before their outcome came, so that they could not be used


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a declared group."""

    group: str
    part: str  # `3`, `12 to 40`, `unknown`
    rows: int
    bad: int
    predicted: float  # mean probability
    false_alarms: float | None  # share of what was good that reached the threshold; None: nothing was
    missed: float | None  # share of what was bad that did not


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How it was made."""

    seed: int
    parameters: dict[str, float]
    libraries: dict[str, str]
    parent: str | None  # who was champion then


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """How it did beside what was in place."""

    beside: str
    before: Figures
    after: Figures
    weeks: tuple[Week, ...]
    verdict: Word
    why: tuple[str, ...]


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    v: int = VERSION
    model: str  # champion-3:ab12cd34
    file: str
    digest: str  # SHA-256 of the file
    policy: str  # in force with the trainer
    made: int  # by the trainer's clock, ms
    features: tuple[str, ...]
    data: Data
    fit: Fit
    trial: Tried
    threshold: float  # of the segments
    groups: tuple[str, ...]  # as the pack declares them
    segments: tuple[Segment, ...]
    limits: tuple[str, ...]


def data_of(request: Request, topics: dict[str, dict[str, tuple[int, int]]], forgotten: int) -> Data:
    """What a request holds."""
    return Data(
        topics=topics,
        rows=len(request.is_bad),
        bad=int(request.is_bad.sum()),
        earliest=request.earliest,
        latest=request.latest,
        until=request.until,
        forgotten=forgotten,
    )


def card_of(
    ended: Ended, data: Data, *, policy: str, made: int, parameters: dict[str, float], libraries: dict[str, str]
) -> Card:
    """The card of a model whose trial is over."""
    model, trial = ended.challenger.model, ended.trial
    before, after = trial.overall()
    verdict = trial.verdict()
    threshold, segments = segmented(trial.judged, trial.groups)
    return Card(
        model=model.name,
        file=model.file_name,
        digest=model.digest,
        policy=policy,
        made=made,
        features=model.names,
        data=data,
        fit=Fit(
            seed=ended.challenger.request.seed,
            parameters=parameters,
            libraries=libraries,
            parent=ended.challenger.parent,
        ),
        trial=Tried(
            beside=trial.before,
            before=before,
            after=after,
            weeks=trial.weekly(),
            verdict=verdict.word,
            why=verdict.why,
        ),
        threshold=threshold,
        groups=trial.groups,
        segments=segments,
        limits=tuple(limits(data, trial.groups)),
    )


def encode(card: Card) -> bytes:
    """One line of JSON, the same bytes for the same card."""
    return msgspec.json.encode(card)


def decode(content: bytes) -> Card:
    """What `encode` wrote. Raises ValueError when it is something else."""
    if len(content) > BYTES_MOST:
        raise ValueError(f"{len(content):,} bytes are no model card")
    try:
        found = msgspec.json.decode(content, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ValueError(f"this is no model card that this release reads: {fault}") from None
    if found.v != VERSION:
        raise ValueError(f"this model card is of version {found.v}, and {VERSION} is known here")
    return found


def segmented(rows: Judged, groups: Sequence[str]) -> tuple[float, tuple[Segment, ...]]:
    """The threshold, and every part of every group at it."""
    bad = int(rows.is_bad.sum())
    threshold = float(np.sort(rows.after)[-bad]) if bad else 1.0
    named = rows.after >= threshold
    found = []
    for group, values in zip(groups, rows.groups.T, strict=True):
        for part, some in _parts(values):
            good, hit = some & ~rows.is_bad, some & rows.is_bad
            found.append(
                Segment(
                    group=group,
                    part=part,
                    rows=int(some.sum()),
                    bad=int(hit.sum()),
                    predicted=round(float(rows.after[some].mean()), 6),
                    false_alarms=round(float(named[good].mean()), 6) if good.any() else None,
                    missed=round(float((~named[hit]).mean()), 6) if hit.any() else None,
                )
            )
    return round(threshold, 9), tuple(found)


def _parts(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The rows of each part, none of them empty."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if len(distinct) <= VALUES_MOST:
        for one in distinct.tolist():
            yield f"{one:g}", values == one
    else:
        edges = np.unique(np.quantile(known, (0.25, 0.5, 0.75), method="lower"))
        which = np.searchsorted(edges, values, side="left")
        for at in range(len(edges) + 1):
            some = (which == at) & ~np.isnan(values)
            if some.any():
                yield f"{values[some].min():g} to {values[some].max():g}", some
    if len(known) < len(values):
        yield "unknown", np.isnan(values)


def limits(data: Data, groups: Sequence[str]) -> Iterator[str]:
    """What it is not good for, in sentences."""
    yield "It learned from decisions that have an outcome; what was stopped before it could turn bad teaches it little."
    yield (
        f"It knows what happened from {_day(data.earliest)} to {_day(data.latest)}; "
        "of patterns that are newer it knows nothing."
    )
    yield "Its score is a probability for rows like those; for others it is an extrapolation."
    if data.forgotten:
        yield f"{data.forgotten:,} decisions went before their outcome came, and are not among its data."
    if not groups:
        yield "The pack declares no groups (`wet.groups`), so nothing is known of its errors in parts of the data."
    yield "An outcome is what somebody said it was; mistakes in labels are learned like everything else."


def markdown(card: Card) -> str:
    """The card for people."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    data, trial = card.data, card.trial
    yield f"# {card.model}"
    yield ""
    yield f"`{card.file}`, SHA-256 `{card.digest}`, made {utc.text(card.made)} under policy `{card.policy}`."
    yield f"Fitted with seed {card.fit.seed}; in its place then: {card.fit.parent or 'nobody'}."
    yield ""
    yield "## Data"
    yield ""
    earliest, latest = utc.text(data.earliest), utc.text(data.latest)
    yield f"{data.rows:,} decisions from {earliest} to {latest}, {data.bad:,} of them bad;"
    yield f"outcomes known by {utc.text(data.until)}, and none of a later time."
    for topic, partitions in data.topics.items():
        ranges = ", ".join(f"{one}: {first} to {last}" for one, (first, last) in partitions.items())
        yield f"- `{topic}`, offsets by partition: {ranges}"
    yield ""
    yield "Features: " + ", ".join(f"`{one}`" for one in card.features)
    yield ""
    yield f"## Trial beside {trial.beside}: {trial.verdict}"
    yield ""
    for sentence in trial.why:
        yield f"- {sentence}"
    yield ""
    yield "Every row was scored when it was decided, and judged when its outcome was known."
    yield ""
    yield f"| week of | rows | bad | AP before | AP | AUROC before | AUROC | precision at {FIRST} | Brier |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for week in trial.weeks:
        yield _row(_day(week.begin), week.before, week.after)
    yield _row("all", trial.before, trial.after)
    yield ""
    yield "## Errors by segment"
    yield ""
    if card.segments:
        yield f"At the threshold {card.threshold:.4f}, which as many rows reach as were bad."
        yield ""
        yield "| group | part | rows | bad | mean probability | false alarms | missed |"
        yield "|---|---|---|---|---|---|---|"
        for one in card.segments:
            errors = f"{_number(one.false_alarms)} | {_number(one.missed)}"
            yield f"| {one.group} | {one.part} | {one.rows:,} | {one.bad:,} | {one.predicted:.4f} | {errors} |"
    else:
        yield "The pack declares no groups."
    yield ""
    yield "## Limits"
    yield ""
    for sentence in card.limits:
        yield f"- {sentence}"
    yield ""
    yield "Made with " + ", ".join(f"{name} {version}" for name, version in card.fit.libraries.items()) + "."


def _row(name: str, before: Figures, after: Figures) -> str:
    told: list[Any] = [before.average_precision, after.average_precision, before.auroc, after.auroc]
    told += [after.precision_at, after.brier]
    return f"| {name} | {after.rows:,} | {after.bad:,} | " + " | ".join(_number(one) for one in told) + " |"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _day(at_ms: int) -> str:
    return utc.text(at_ms)[:10]
