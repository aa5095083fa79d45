"""The report as a document: what was counted, of which chains, under which policies. Canonical JSON.

    {"v":1,"report":"sidechain","at":null,"period":{…},"chains":[…],"totals":{…},"policies":[…],"changes":{…},
     "absent":{…},"digest":"4d…"}

Fields stand in one order and names within a table in theirs, there is no white space and no float, so the same
inputs come to the same bytes. `digest` is SHA-256 over everything before the last 77 bytes (`,"digest":"<64 hex>"}`).
There is no time of making in it unless somebody states one as `at`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models.dry.chain import Fault
from sidechain.models.policy import ACTIONS, TIERS, Policy
from sidechain.models.proof.chain_check import EpochCheck
from sidechain.models.report.money import budgets_section, governance_section, writable
from sidechain.models.report.tally import AGES, BAND_BP, BANDS, OLDER, Ask, Period, Reach, Tally
from sidechain.models.report.totals import Totals
from sidechain.models.report.what_if import SHIFTS_BP, gate_of

VERSION: Final = 1
SEAL_LENGTH: Final = 77  # len(',"digest":"' + 64 hex + '"}')
SHARE: Final = 10_000

# What a reader may look for and does not find, because no entry of this release says it.
ABSENT: Final = {
    "groups": "entries hold no field of an event but its id and key, so nothing is grouped by one",
    "stakes": "what a decision was about stands in its event; a back-test sums it",
    "balances": "what is left of an account stands in each entry; here is what was held, spent and refused",
    "overrides": "reviews are asked for; what people answered is not in the chain",
}

Document = Mapping[str, Any]


class Chain(NamedTuple):
    """One partition's chain: what a check found of it, and what its entries come to."""

    partition: int
    epochs: Sequence[EpochCheck]
    tally: Tally | None  # None: there is nothing to count
    fault: Fault | None = None
    where: str = ""

    @property
    def counted(self) -> Tally:
        """What its entries come to."""
        return self.tally or Ask().tally(self.partition)


@dataclass(frozen=True)
class Known:
    """What the report was made with, beside the chains."""

    policies: Mapping[str, Policy]  # whose texts are here, by reference
    at_ms: int | None = None  # when it was made, where somebody states it
    root: str | None = None  # the key signatures were checked with, as name and id; None: they were not


def document(chains: Iterable[Chain], ask: Ask, known: Known) -> dict[str, Any]:
    """The report, without its digest."""
    chains = sorted(chains, key=lambda one: one.partition)
    inside = Totals()
    for one in chains:
        inside.merge(one.counted.inside)
    return {
        "v": VERSION,
        "report": "sidechain",
        "at": known.at_ms,
        "period": _period(chains, ask.period, inside),
        "chains": [_chain(one, known) for one in chains],
        "totals": _totals(chains, inside),
        "policies": [_policy(one, known) for one in _cited(chains, inside)],
        "changes": _changes(chains),
        "absent": ABSENT,
    }


def seal(report: Document) -> bytes:
    """The report's bytes, its digest included."""
    body = msgspec.json.encode(report)[:-1]
    return b'%b,"digest":"%b"}' % (body, sha256(body).hexdigest().encode())


def digest_of(data: bytes) -> tuple[str, str]:
    """The digest that sealed bytes state, and the one they have."""
    body, end = data[:-SEAL_LENGTH], data[-SEAL_LENGTH:]
    is_sealed = end[:11] == b',"digest":"' and end[-2:] == b'"}'
    return end[11:-2].decode("ascii", "replace") if is_sealed else "", sha256(body).hexdigest()


def _period(chains: Sequence[Chain], period: Period, inside: Totals) -> dict[str, Any]:
    reaches = [one.counted.reaches for one in chains if one.counted.reaches is not None]
    return {
        "since": period.since,
        "until": period.until,
        "first": inside.smallest.get(("at",)),
        "last": inside.largest.get(("at",)),
        "chains_first": min((one[0] for one in reaches), default=None),
        "chains_last": max((one[1] for one in reaches), default=None),
    }


def _chain(chain: Chain, known: Known) -> dict[str, Any]:
    return {
        "partition": chain.partition,
        "unbroken": chain.fault is None,
        "fault": chain.fault and {**chain.fault._asdict(), "where": chain.where},
        "epochs": [_epoch(one, chain.counted.epochs.get(one.number), known) for one in chain.epochs],
    }


def _epoch(one: EpochCheck, reach: Reach | None, known: Known) -> dict[str, Any]:
    last = one.last
    return {
        "epoch": one.number,
        "entries": reach.entries if reach else 0,
        "head": reach.head if reach else None,
        "unbroken": one.fault is None,
        "checkpoint": last
        and {
            "origin": str(last.checkpoint.origin),
            "size": last.checkpoint.size,
            "root": last.checkpoint.root.hex(),
            "signed_by": list(last.signers),
            "checked_with": known.root,
        },
    }


def _totals(chains: Sequence[Chain], inside: Totals) -> dict[str, Any]:
    outside = Totals()
    for one in chains:
        outside.merge(one.counted.outside)
    kinds = inside.by_name("kind")
    return {
        "entries": {
            "in_period": sum(kinds.values()),
            "kinds": kinds,
            "outside": outside.by_name("kind"),
            "unreadable": sum(one.counted.unreadable for one in chains),
        },
        "decisions": kinds.get("decision", 0),
        "actions": _closed(inside, "action", ACTIONS),
        "tiers": _closed(inside, "tier", TIERS),
        "trust": _spread(inside, "trust"),
        "score": _spread(inside, "score"),
        "rules": _rules(inside),
        "typologies": _nested(inside, "typology"),
        "trust_marks": _nested(inside, "trust"),
        "other_reasons": inside.by_name("reason"),
        "policies": _nested(inside, "policy"),
        "flags": inside.by_name("flag"),
        "rejected": inside.by_name("rejected"),
        "outcomes": {
            "labels": _closed(inside, "label", ("good", "bad")),
            "costs": {**_closed(inside, "cost", ("outcomes",)), "sum_minor": writable(inside.sums["cost_minor",])},
            "refused": inside.by_name("refused"),
        },
        "budget_marks": _nested(inside, "budget"),
        "governance_marks": _nested(inside, "governance"),
        "budgets": budgets_section(inside),
        "governance": governance_section(inside),
        "signals": {name: _signal(inside, name) for name in sorted(_nested(inside, "signal"))},
        "what_if": _what_if(inside),
    }


def _closed(totals: Totals, table: str, names: Iterable[str]) -> dict[str, int]:
    found = totals.by_name(table)
    return {name: found.get(name, 0) for name in names}


def _nested(totals: Totals, table: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (name, what), count in totals.of(table).items():
        found.setdefault(name, {})[what] = count
    return found


def _rules(totals: Totals) -> dict[str, dict[str, int]]:
    return {
        name: {"decisions": sum(by.values()), **{one: by.get(one, 0) for one in ACTIONS}}
        for name, by in _nested(totals, "rule").items()
    }


def _spread(totals: Totals, name: str) -> dict[str, Any]:
    found = totals.by_name(f"{name}_band")
    return {
        "sum_bp": totals.sums[f"{name}_bp",],
        "band_bp": BAND_BP,
        "bands": [found.get(str(one), 0) for one in range(BANDS)],
    }


def _signal(totals: Totals, name: str) -> dict[str, Any]:
    states = _nested(totals, "signal")[name]
    ages, models = _nested(totals, "age").get(name, {}), _nested(totals, "model").get(name, {})
    known, total, place = states.pop("known", 0), sum(states.values()), (name, "age_ms")
    total += known
    return {
        "decisions": total,
        "known": known,
        "unknown": states,
        "unknown_bp": sum(states.values()) * SHARE // total,
        "age": {
            "sum_ms": writable(totals.sums[place]),
            "max_ms": writable(totals.largest[place]) if known else None,
            "up_to": {one: ages.get(one, 0) for one in (*AGES, OLDER)},
        },
        "models": models,
    }


def _what_if(totals: Totals) -> dict[str, Any]:
    found = {name: {"shift_bp": shift, **_scenario(totals, name)} for name, shift in SHIFTS_BP.items()}
    return {"scenarios": found, "not_recomputed": totals.by_name("not_recomputed")}


def _scenario(totals: Totals, name: str) -> dict[str, Any]:
    actions, changed = dict.fromkeys(ACTIONS, 0), {}
    for (scenario, before, after), count in totals.of("what_if").items():
        if scenario == name:
            actions[after] += count
            if before != after:
                changed[f"{before}>{after}"] = count
    return {"actions": actions, "changed": changed}


def _cited(chains: Sequence[Chain], inside: Totals) -> list[str]:
    named = {ref for ref, _ in inside.of("policy")}
    for chain in chains:
        for one in chain.counted.changes:
            named |= {one.fields["policy"]}
            named |= {one.fields["previous"]} if one.kind == "policy" else set()
    return sorted(named)


def _policy(ref: str, known: Known) -> dict[str, Any]:
    policy = known.policies.get(ref)
    if policy is None:
        return {"policy": ref, "sha256": None, "tiers_bp": None, "effects": None}
    gate = gate_of(policy)
    tiers = dict(zip(TIERS, gate.edges_bp, strict=False))
    return {"policy": ref, "sha256": policy.digest, "tiers_bp": tiers, "effects": dict(sorted(gate.effects.items()))}


def _changes(chains: Sequence[Chain]) -> dict[str, Any]:
    names = {"policies": "policy", "lists": "list", "gaps": "gap", "epochs": "epoch"}
    listed = {
        name: [change.fields for chain in chains for change in chain.counted.changes if change.kind == kind]
        for name, kind in names.items()
    }
    left = {name: sum(chain.counted.left_out[kind] for chain in chains) for name, kind in names.items()}
    return {**listed, "not_listed": left}
