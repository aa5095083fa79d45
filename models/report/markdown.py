"""The report as a page: the most important number first, plain words, tables that fit a narrow screen.

Made from the document alone, so it says nothing that the JSON form does not; whoever wants to check a number uses that.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sidechain.models import utc
from sidechain.models.policy import ACTIONS
from sidechain.models.report.document import SEAL_LENGTH, Document
from sidechain.models.report.money_page import money
from sidechain.models.report.tables import plain, table
from sidechain.models.report.what_if import SHIFTS_BP

_ACTED: Final = {"allow": "allowed", "monitor": "allowed and watched", "review": "sent to review", "block": "blocked"}
_UNKNOWN: Final = {
    "absent": "nothing was said",
    "stale": "too old",
    "future": "newer than the event",
    "bounds": "out of bounds",
}
_AGES: Final = {"1s": "1 s", "1m": "1 min", "10m": "10 min", "1h": "1 h", "1d": "1 day", "older": "older"}
_MARKS: Final = {"floor": "trust below its floor", "entropy": "uncertainty too wide"}


def page(report: Document, sealed: bytes) -> str:
    """The page of a report and its sealed bytes."""
    lines: list[str] = []
    for part in (_head(report), _decided(report), _reasons(report), _policies(report), _signals(report)):
        lines += [*part, ""]
    for part in (
        _what_if(report),
        _outcomes(report),
        money(report["totals"]),
        _inputs(report),
        _people(report),
        _chains(report),
        _end(report, sealed),
    ):
        lines += [*part, ""]
    return "\n".join(_single_blank(lines)).rstrip("\n")


def _head(report: Document) -> Iterator[str]:
    totals, span = report["totals"], report["period"]
    decisions = totals["decisions"]
    yield "# What was decided"
    yield ""
    if not decisions:
        yield "**No decision falls into this period.**"
    else:
        shares = [f"{_share(totals['actions'][one], decisions)} {_ACTED[one]}" for one in reversed(ACTIONS)]
        yield f"**{decisions:,} decisions**: {', '.join(shares)}."
    yield ""
    broken = [chain["partition"] for chain in report["chains"] if not chain["unbroken"]]
    if broken:
        yield f"**The chain of partition {', '.join(map(str, broken))} is BROKEN**; see the end."
        yield ""
    yield f"- Period (event time): {_bounds(span)}"
    if decisions:
        yield f"- First and last decision: {_time(span['first'])}, {_time(span['last'])}"
    yield f"- All decisions of the chains: {_reach(span)}"
    outside = totals["entries"]["outside"]
    if outside:
        yield f"- Not counted, outside the period: {_counts(outside)}"
    if totals["entries"]["unreadable"]:
        yield f"- Not counted, not readable as entries: {totals['entries']['unreadable']:,}"
    if report["at"] is not None:
        yield f"- Made: {_time(report['at'])}"


def _decided(report: Document) -> Iterator[str]:
    totals = report["totals"]
    decisions = totals["decisions"]
    yield "## Decisions"
    yield ""
    rows = [(one, totals["actions"][one], _share(totals["actions"][one], decisions)) for one in reversed(ACTIONS)]
    yield from table(("Action", "Decisions", "Share"), rows)
    yield ""
    rows = [(one, count, _share(count, decisions)) for one, count in totals["tiers"].items()]
    yield from table(("Trust tier", "Decisions", "Share"), rows)
    yield ""
    if decisions:
        trust, score = (totals[name]["sum_bp"] // decisions for name in ("trust", "score"))
        yield f"Mean trust {trust:,} of 10,000, mean score {score:,} of 10,000."
        yield ""
    bands = totals["trust"]["bands"]
    rows = [(_band(at), sum(bands[at : at + 2]), _share(sum(bands[at : at + 2]), decisions)) for at in range(0, 20, 2)]
    yield from table(("Trust from, to", "Decisions", "Share"), [one for one in rows if one[1]])


def _reasons(report: Document) -> Iterator[str]:
    totals = report["totals"]
    yield "## Rules and typologies"
    yield ""
    if not totals["rules"] and not totals["typologies"] and not totals["trust_marks"]:
        yield "No rule fired."
        return
    by_count = sorted(totals["rules"].items(), key=lambda one: (-one[1]["decisions"], one[0]))
    rows = [(name, by["decisions"], by["block"], by["review"]) for name, by in by_count]
    yield from table(("Rule", "Fired", "Blocked", "Review"), rows)
    yield ""
    rows = [
        (name, sum(by.values()), by.get("block", 0), by.get("review", 0)) for name, by in totals["typologies"].items()
    ]
    yield from table(("Typology", "Reached", "Asks block", "Asks review"), rows)
    yield ""
    marks = [
        (_MARKS.get(name, name), what, count)
        for name, by in totals["trust_marks"].items()
        for what, count in by.items()
    ]
    yield from table(("Trust gate", "Asks", "Decisions"), marks)


def _policies(report: Document) -> Iterator[str]:
    totals = report["totals"]
    yield "## Policies"
    yield ""
    rows = [
        (ref, sum(by.get(one, 0) for one in ACTIONS), by.get("block", 0), by.get("review", 0))
        for ref, by in totals["policies"].items()
    ]
    yield from table(("Policy", "Decisions", "Block", "Review"), rows)
    yield ""
    changes = report["changes"]["policies"]
    people = [(one["policy"], one["by"], _time(one["at"]), _part(one), one["seq"]) for one in changes]
    if people:
        yield "Put in force by people; the time is their clock, the entry is where it took effect."
        yield ""
    yield from table(("Policy", "By", "When", "Part.", "Entry"), people)
    if not people:
        yield "No policy was put in force: each chain still has the one it began with."
    lists = [
        (one["list"], one["rows"], one["by"], _time(one["at"]), _part(one), one["seq"])
        for one in report["changes"]["lists"]
    ]
    yield ""
    yield from table(("List", "Rows", "By", "When", "Part.", "Entry"), lists)


def _signals(report: Document) -> Iterator[str]:
    yield "## Signals"
    yield ""
    if not report["totals"]["signals"]:
        yield "No decision was made under a policy that accepts signals."
    for name, one in report["totals"]["signals"].items():
        yield f"**{name}**: known in {_share(one['known'], one['decisions'])} of {one['decisions']:,} decisions."
        yield ""
        rows = [
            (_UNKNOWN.get(why, why), count, _share(count, one["decisions"])) for why, count in one["unknown"].items()
        ]
        yield from table(("Unknown because", "Decisions", "Share"), rows)
        yield ""
        rows = [
            (_AGES[upto], count, _share(count, one["known"])) for upto, count in one["age"]["up_to"].items() if count
        ]
        yield from table(("Age up to", "Decisions", "Share"), rows)
        yield ""


def _what_if(report: Document) -> Iterator[str]:
    what_if = report["totals"]["what_if"]
    yield "## What if"
    yield ""
    not_recomputed = what_if["not_recomputed"]
    if report["totals"]["decisions"] > sum(not_recomputed.values()):
        yield "The same decisions with the trust tiers moved; rules and history as they were."
        yield ""
        yield from _scenarios(what_if)
    if not_recomputed:
        yield ""
        yield f"Not recomputed, for want of the policy's text: {_counts(not_recomputed)}."


def _scenarios(what_if: Mapping[str, Any]) -> Iterator[str]:
    scenarios = what_if["scenarios"]
    rows = [
        (
            _scenario(name),
            *(scenarios[name]["actions"][one] for one in reversed(ACTIONS)),
            sum(scenarios[name]["changed"].values()),
        )
        for name in SHIFTS_BP
    ]
    yield from table(("Scenario", "Block", "Review", "Monitor", "Allow", "Changed"), rows)


def _outcomes(report: Document) -> Iterator[str]:
    outcomes = report["totals"]["outcomes"]
    labels, costs, refused = outcomes["labels"], outcomes["costs"], outcomes["refused"]
    yield "## What really happened"
    yield ""
    if not any(labels.values()) and not costs["outcomes"] and not refused:
        yield "No outcome came in this period."
        return
    yield f"- Decisions that turned out good: {labels['good']:,}, bad: {labels['bad']:,}"
    yield f"- Costs stated of decisions: {costs['outcomes']:,}, together {costs['sum_minor']:,} minor units"
    yield ""
    yield from table(("Outcome refused because", "Outcomes"), list(refused.items()))


def _inputs(report: Document) -> Iterator[str]:
    totals = report["totals"]
    yield "## What was not decided"
    yield ""
    kinds = totals["entries"]["kinds"]
    yield f"- Repeated events, decided once before: {kinds.get('duplicate', 0):,}"
    yield f"- Rejected inputs, kept as dead letters: {kinds.get('rejected', 0):,}"
    yield ""
    yield from table(("Rejected because", "Inputs"), list(totals["rejected"].items()))
    yield ""
    yield from table(("Flag", "Decisions"), list(totals["flags"].items()))


def _people(report: Document) -> Iterator[str]:
    changes = report["changes"]
    yield "## Repairs"
    yield ""
    if not changes["gaps"] and not changes["epochs"]:
        yield "None: no input was passed over and no chain was begun anew."
        return
    for one in changes["gaps"]:
        yield f"- {_place(one)}: {one['topic']} goes on at {one['to']:,} where {one['from']:,} was due. {_who(one)}"
    for one in changes["epochs"]:
        yield f"- {_place(one)}: the chain was begun anew. {_who(one)}"
    left = sum(changes["not_listed"].values())
    if left:
        yield f"- {left:,} more changes are not listed one by one."


def _chains(report: Document) -> Iterator[str]:
    yield "## Chains"
    yield ""
    yield "Every seal and link was checked while this was counted."
    yield ""
    rows = [
        (chain["partition"], one["epoch"], one["entries"], (one["head"] or "-")[:16], _covered(one))
        for chain in report["chains"]
        for one in chain["epochs"]
    ]
    yield from table(("Part.", "Epoch", "Entries", "Head", "Signed"), rows)
    signers = sorted({key for _, one in _checkpoints(report) for key in one["signed_by"]})
    if signers:
        checked = next((one["checked_with"] for _, one in _checkpoints(report) if one["checked_with"]), None)
        yield ""
        yield f"Signed by {', '.join(signers)}; " + (
            f"checked with the root key {checked}." if checked else "nobody's signature was checked (--root)."
        )
    for chain in report["chains"]:
        if chain["fault"]:
            fault = chain["fault"]
            yield ""
            yield f"**Partition {chain['partition']} is BROKEN** at entry {fault['position']:,}: {fault['problem']};"
            where = f" ({fault['where']})" if fault["where"] else ""
            yield f"expected {plain(fault['expected'])}, found {plain(fault['found'])}{where}."


def _end(report: Document, sealed: bytes) -> Iterator[str]:
    yield "## Not in this report"
    yield ""
    for name, why in report["absent"].items():
        yield f"- {name.capitalize()}: {why}."
    yield ""
    yield "## Digests"
    yield ""
    for one in report["policies"]:
        yield f"- {plain(one['policy'])}: {one['sha256'] or 'text not at hand'}"
    yield f"- this report, as JSON: {sealed[-SEAL_LENGTH + 11 : -2].decode()}"


def _checkpoints(report: Document) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for chain in report["chains"]:
        for one in chain["epochs"]:
            if one["checkpoint"]:
                yield chain["partition"], one["checkpoint"]


def _covered(epoch: Mapping[str, Any]) -> str:
    return f"up to {epoch['checkpoint']['size']:,}" if epoch["checkpoint"] else "no"


def _single_blank(lines: Iterable[str]) -> Iterator[str]:
    last = ""
    for one in lines:
        if one or last:
            yield one
        last = one


def _share(part: int, whole: int) -> str:
    """In tenths of a percent, rounded."""
    tenths = (part * 1_000 + whole // 2) // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"


def _counts(named: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {plain(name)}" for name, count in named.items())


def _time(at_ms: int | None) -> str:
    return utc.text(at_ms or 0)


def _bounds(span: Mapping[str, Any]) -> str:
    since, until = span["since"], span["until"]
    if since is None and until is None:
        return "all there is"
    first = "the beginning" if since is None else _time(since)
    return f"{first} to " + ("the end" if until is None else f"{_time(until)}, exclusive")


def _reach(span: Mapping[str, Any]) -> str:
    first, last = span["chains_first"], span["chains_last"]
    return "none" if first is None else f"{_time(first)} to {_time(last)}"


def _band(at: int) -> str:
    return f"{at * 500 + (1 if at else 0):,} to {(at + 2) * 500:,}"


def _scenario(name: str) -> str:
    shift = SHIFTS_BP[name]
    return f"{name} ({shift:+,})" if shift else f"{name} (as it was)"


def _part(one: Mapping[str, Any]) -> str:
    return f"{one['partition']}, epoch {one['epoch']}" if one["epoch"] else str(one["partition"])


def _place(one: Mapping[str, Any]) -> str:
    return f"Partition {_part(one)}, entry {one['seq']:,}"


def _who(one: Mapping[str, Any]) -> str:
    return f"{plain(one['by'])}, {_time(one['at'])}: {plain(one['why'])}"
