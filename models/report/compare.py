"""What a report says, beside what the chains come to: every number and name of it, one by one.

What cannot follow from the entries is not compared: when the report was made, whose signatures were checked, and faults
of the chains (whoever compares has checked the chains themselves). A checkpoint that the report names is given to that
check as one that was kept, so its root is compared with the entries.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from sidechain.models.proof.chain_check import Point
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.report.document import SEAL_LENGTH, VERSION, Document, digest_of
from sidechain.models.report.tally import Ask, Period
from sidechain.models.report.what_if import Gate

NOTHING: Final = "nothing"
COMPARED: Final = ("period", "totals", "changes", "policies")
LISTED_MAX: Final = 1_000


class Difference(NamedTuple):
    """One place where the report and the chains differ."""

    where: str
    stated: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: the report says {self.stated}, the chains come to {self.found}"


class _Checkpoint(msgspec.Struct):
    origin: str
    size: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    root: str


class _Epoch(msgspec.Struct):
    epoch: int
    entries: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    head: str | None
    checkpoint: _Checkpoint | None = None


class _Chain(msgspec.Struct):
    partition: int
    epochs: list[_Epoch]


class _Period(msgspec.Struct):
    since: int | None
    until: int | None


class _Policy(msgspec.Struct):
    policy: str
    tiers_bp: dict[str, int] | None = None
    effects: dict[str, str] | None = None


class _Report(msgspec.Struct):
    v: int
    report: str
    period: _Period
    chains: list[_Chain]
    policies: list[_Policy]


class Stated:
    """A report that somebody hands over."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError with a sentence when these bytes are no report this release can read."""
        data = data.rstrip(b"\r\n")
        try:
            self._read = msgspec.json.decode(data, type=_Report)
            self.document: Document = msgspec.json.decode(data)
            self.points = [point for chain in self._read.chains for point in _points(chain)]
            self._gates = {one.policy: gate for one in self._read.policies if (gate := _gate(one)) is not None}
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        if self._read.v != VERSION or self._read.report != "sidechain":
            raise ValueError(f"it is of version {self._read.v}, and {VERSION} is known here")
        if len(data) < SEAL_LENGTH:
            raise ValueError("it has no digest")
        self.digests = digest_of(data)

    def ask(self, gates: dict[str, Gate]) -> Ask:
        """What has to be counted to come to this report; it covers the entries there were when it was made.

        `gates`: of the policies whose texts are here; for others the report's own words stand in.
        """
        gates = {ref: gate for ref, gate in gates.items() if ref in self.counted_with}
        reach = {one.partition: {it.epoch: it.entries for it in one.epochs} for one in self._read.chains}
        return Ask(Period(self._read.period.since, self._read.period.until), {**self._gates, **gates}, reach)

    @property
    def counted_with(self) -> set[str]:
        """Policies whose tiers and rules it states, because whoever made it had their texts."""
        return set(self._gates)

    def differences(self, found: Document) -> list[Difference]:
        """Every place where the report differs from what was found; the digest first."""
        stated, digest = self.digests
        first = [Difference("digest", stated or NOTHING, digest)] if stated != digest else []
        found = msgspec.json.decode(msgspec.json.encode(found))
        ours = {**_heads(found), **{name: found[name] for name in COMPARED}}
        theirs = {**_heads(self.document), **{name: self.document.get(name) for name in COMPARED}}
        # A text that is not here is no contradiction: the report's own was counted with.
        ours["policies"] = _where_known(ours["policies"], theirs["policies"])
        ours["totals"] = _where_said(ours["totals"], theirs["totals"])
        covered = {one.partition for one in self._read.chains}
        left = [one["partition"] for one in found["chains"] if one["partition"] not in covered]
        first += [Difference(f"partition {one}", NOTHING, "a chain") for one in left]
        return [*first, *_walk("", theirs, ours)][:LISTED_MAX]


def _gate(one: _Policy) -> Gate | None:
    if one.tiers_bp is None or one.effects is None:
        return None
    try:
        return Gate((one.tiers_bp["block"], one.tiers_bp["review"], one.tiers_bp["monitor"]), one.effects)
    except KeyError:
        raise ValueError(f"policy {one.policy} lacks a tier") from None


def _points(chain: _Chain) -> Iterator[Point]:
    for one in chain.epochs:
        if one.checkpoint is None:
            continue
        origin = Origin.parse(one.checkpoint.origin)
        root = bytes.fromhex(one.checkpoint.root)
        if (origin.partition, origin.epoch) != (chain.partition, one.epoch) or len(root) != 32:
            raise ValueError(f"the checkpoint of partition {chain.partition} is none of that chain")
        yield Point(Checkpoint(origin=origin, size=one.checkpoint.size, root=root), "the report")


def _heads(report: Document) -> dict[str, Any]:
    """Where each chain ended."""
    return {
        f"partition {chain['partition']}, epoch {one['epoch']}": {"entries": one["entries"], "head": one["head"]}
        for chain in report["chains"]
        for one in chain["epochs"]
        if one["entries"]
    }


def _where_known(ours: list[Any], theirs: Any) -> list[Any]:
    stated = {one.get("policy"): one for one in theirs or ()}
    return [stated.get(one["policy"], one) if one["sha256"] is None else one for one in ours]


def _where_said(ours: Document, theirs: Any) -> dict[str, Any]:
    """Our totals, but for sections without a number that an earlier release did not write."""
    stated = theirs if isinstance(theirs, dict) else {}
    return {name: one for name, one in ours.items() if name in stated or not _is_empty(one)}


def _is_empty(section: Any) -> bool:
    return isinstance(section, dict) and all(map(_is_empty, section.values()))


def _walk(where: str, stated: Any, found: Any) -> Iterator[Difference]:
    if isinstance(stated, dict) and isinstance(found, dict):
        for name in sorted({*stated, *found}):
            yield from _walk(f"{where}.{name}" if where else name, stated.get(name), found.get(name))
    elif isinstance(stated, list) and isinstance(found, list):
        for index in range(max(len(stated), len(found))):
            here, there = (one[index] if index < len(one) else None for one in (stated, found))
            yield from _walk(f"{where}[{index}]", here, there)
    elif stated != found or type(stated) is not type(found):
        yield Difference(where, _shown(stated), _shown(found))


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
