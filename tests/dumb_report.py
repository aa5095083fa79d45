"""The totals of an export once more, by a program that knows nothing but JSON: no import of the project, no streaming.

    python tests/dumb_report.py EXPORT REPORT.json

Loads everything, loops over it again and again, and says where a report differs. What a policy's text says of tiers
and rules it takes from the report, unless it is told.
"""

import json
import sys
from fractions import Fraction
from math import ceil
from pathlib import Path

SHIFTS = {"conservative": 500, "balanced": 0, "aggressive": -500}
STRICT = ["allow", "monitor", "review", "block"]
UNASKED = ["prev", "hash", "digest", "next", "features", "trust_inputs_bp"]  # no total is about these: half the memory
AGES = [("1s", 1_000), ("1m", 60_000), ("10m", 600_000), ("1h", 3_600_000), ("1d", 86_400_000)]


def entries_of(folder):
    """Per partition its entries, in order; what an export holds of others' records is left out."""
    found = {}
    for path in sorted(Path(folder).glob("decisions-*.ndjson")):
        lines = []
        for line in path.read_bytes().split(b"\n"):
            one = json.loads(line or b"{}")
            if "kind" in one:
                lines.append({name: value for name, value in one.items() if name not in UNASKED})
        found[int(path.stem.split("-")[1])] = lines
    return found


def timed(entries):
    """Each entry with its event time: its own, or that of the decision before it; at the beginning, of the first."""
    times = [one["at"] for one in entries if one["kind"] == "decision"]
    reached = times[0] if times else None
    found = []
    for one in entries:
        if one["kind"] == "decision":
            reached = one["at"]
        own = one["at"] if one["kind"] in ("duplicate", "settlement", "refused-outcome") else None
        found.append((reached if own is None else own, one))
    return found


def count(values):
    """How many of each."""
    values = list(values)
    return {one: values.count(one) for one in sorted(set(values))}


def band(value):
    """The band of a value from 0 to 10000."""
    for number in range(20):
        if value <= (number + 1) * 500:
            return number
    raise ValueError(value)


def spread(values):
    bands = [band(one) for one in values]
    return {"sum_bp": sum(values), "band_bp": 500, "bands": [bands.count(one) for one in range(20)]}


def signal(name, decisions):
    used = [(one["at"], one["signals"][name]) for one in decisions if name in one["signals"]]
    known = [(at - one["as_of"], one["model"]) for at, one in used if "value" in one]
    unknown = count(one["unknown"] for _, one in used if "unknown" in one)
    ages = [age for age, _ in known]
    up_to, below = {}, None
    for label, most in AGES:
        up_to[label] = sum(age <= most and (below is None or age > below) for age in ages)
        below = most
    up_to["older"] = sum(age > below for age in ages)
    return {
        "decisions": len(used),
        "known": len(known),
        "unknown": unknown,
        "unknown_bp": sum(unknown.values()) * 10_000 // len(used),
        "age": {"sum_ms": sum(ages), "max_ms": max(ages, default=None), "up_to": up_to},
        "models": count(model for _, model in known),
    }


def saved(one):
    """What a request would have taken, rounded up, less what was reserved for it."""
    cost = Fraction(one["base"])
    for _, bp in one["multipliers"]:
        cost *= Fraction(bp, 10_000)
    return ceil(cost) - one["cost"]


def accounts(spending, moved):
    found = {part[0] for one in spending if one["reserved"] for part in one["reserved"]["parts"]}
    found |= {part[0] for one in spending for closed in one["closed"] for part in closed["parts"]}
    found |= {one["transfer"]["account"] for one in moved}
    return sorted(found | {refused["account"] or "(no account)" for one in spending for refused in one["refused"]})


def account(name, spending, moved):
    """Everything that was held, spent and refused of one account."""
    held = [part for one in spending if one["reserved"] for part in one["reserved"]["parts"] if part[0] == name]
    ended = {"settled": [], "released": [], "expired": []}
    for one in spending:
        for closed in one["closed"]:
            ended[closed["how"]] += [part for part in closed["parts"] if part[0] == name]
    no = [it for one in spending for it in one["refused"] if (it["account"] or "(no account)") == name]
    moved = [one for one in moved if one["transfer"]["account"] == name]
    lent = [one["amount"] for one in moved if one["kind"] == "debit"]
    borrowed = [one["amount"] for one in moved if one["kind"] == "credit"]
    found = {
        "units": sorted({part[2] for part in held} | {one["transfer"]["unit"] for one in moved}),
        "reserved": {"decisions": len(held), "sum_minor": sum(part[5] for part in held)},
    }
    for how, parts in ended.items():
        found[how] = {
            "decisions": len(parts),
            "reserved_minor": sum(part[3] for part in parts),
            "cost_minor": sum(part[4] for part in parts),
            "overrun_minor": sum(part[5] for part in parts),
        }
    found["lent"] = {"transfers": len(lent), "sum_minor": sum(lent)}
    found["borrowed"] = {"transfers": len(borrowed), "sum_minor": sum(borrowed)}
    found["borrowed"]["lapsed_minor"] = sum(one["lapsed"] for one in moved if one["kind"] == "credit")
    found["spent_minor"] = sum(part[4] for parts in ended.values() for part in parts)
    found["refused"] = {
        why: {"decisions": times, "wanted_minor": sum(it["wanted"] or 0 for it in no if it["reason"] == why)}
        for why, times in count(it["reason"] for it in no).items()
    }
    return found


def again(one, gate, shift):
    """The action of one decision with its tiers moved."""
    (block, review, monitor), effects = gate
    demands = ["allow"]
    for reason in one["reasons"]:
        asks = effects[reason[1]] if reason[0] == "rule" else reason[-1]
        if asks in STRICT:
            demands.append(asks)
    if not any(reason[0] == "rule" and effects[reason[1]] == "allow" for reason in one["reasons"]):
        trust = one["trust_bp"] - shift
        demands.append(
            "block" if trust <= block else "review" if trust <= review else "monitor" if trust <= monitor else "allow"
        )
    return max(demands, key=STRICT.index)


def scenario(decisions, gates, shift):
    pairs = [(one["action"], again(one, gates[one["policy"]], shift)) for one in decisions if one["policy"] in gates]
    actions = {one: sum(after == one for _, after in pairs) for one in STRICT}
    changed = count(f"{before}>{after}" for before, after in pairs if before != after)
    return {"shift_bp": shift, "actions": actions, "changed": changed}


def totals(chains, gates, since=None, until=None):
    """Everything that the report's `totals` say."""
    every = [pair for entries in chains.values() for pair in timed(entries)]
    inside, outside = [], []
    for at, one in every:
        is_inside = (
            since is until is None if at is None else (since is None or at >= since) and (until is None or at < until)
        )
        (inside if is_inside else outside).append(one)
    decisions = [one for one in inside if one["kind"] == "decision"]
    reasons = [(one["action"], reason) for one in decisions for reason in one["reasons"]]
    rules = count(reason[1] for _, reason in reasons if reason[0] == "rule")

    def asked(sort):
        pairs = [(reason[1], reason[-1]) for _, reason in reasons if reason[0] == sort]
        return {name: count(asks for it, asks in pairs if it == name) for name in count(it for it, _ in pairs)}

    settled = [one for one in inside if one["kind"] == "settlement"]
    costs = [one["cost_minor"] for one in settled if one["cost_minor"] is not None]
    spending = [one["budget"] for one in decisions + settled if one.get("budget")]
    moved = [one for one in inside if one["kind"] in ("debit", "credit")]
    governed = [one["governed"] for one in spending if "governed" in one]
    named = count(name for one in decisions for name in one["signals"])
    by_policy = count(one["policy"] for one in inside)
    return {
        "entries": {
            "in_period": len(inside),
            "kinds": count(one["kind"] for one in inside),
            "outside": count(one["kind"] for one in outside),
            "unreadable": 0,
        },
        "decisions": len(decisions),
        "actions": {name: sum(one["action"] == name for one in decisions) for name in STRICT},
        "tiers": {
            name: sum(one["tier"] == name for one in decisions) for name in ("block", "review", "monitor", "pass")
        },
        "trust": spread([one["trust_bp"] for one in decisions]),
        "score": spread([one["score_bp"] for one in decisions]),
        "rules": {
            name: {
                "decisions": fired,
                **{
                    it: sum(action == it and reason[:2] == ["rule", name] for action, reason in reasons)
                    for it in STRICT
                },
            }
            for name, fired in rules.items()
        },
        "typologies": asked("typology"),
        "trust_marks": asked("trust"),
        "other_reasons": {},
        "policies": {
            ref: count(one.get("action", one["kind"]) for one in inside if one["policy"] == ref) for ref in by_policy
        },
        "flags": count(flag for one in decisions for flag in one["flags"]),
        "rejected": count(one["reason"] for one in inside if one["kind"] == "rejected"),
        "outcomes": {
            "labels": {name: sum(one["label"] == name for one in settled) for name in ("good", "bad")},
            "costs": {"outcomes": len(costs), "sum_minor": sum(costs)},
            "refused": count(one["reason"] for one in inside if one["kind"] == "refused-outcome"),
        },
        "budget_marks": asked("budget"),
        "governance_marks": asked("governance"),
        "budgets": {name: account(name, spending, moved) for name in accounts(spending, moved)},
        "governance": {
            "answers": count(one["answer"] for one in governed if "answer" in one),
            "why": count(one["why"] for one in governed if "why" in one),
            "saved": {
                why: {
                    "decisions": sum(one["why"] == why for one in governed if "why" in one),
                    "sum_minor": sum(saved(one) for one in governed if one.get("why") == why),
                }
                for why in ("budget_tripwire_active", "insight_found", "quality_reached")
                if any(one.get("why") == why for one in governed)
            },
            "tripwire": count(one["event"] for one in governed if "event" in one),
        },
        "signals": {name: signal(name, decisions) for name in named},
        "what_if": {
            "scenarios": {name: scenario(decisions, gates, shift) for name, shift in SHIFTS.items()},
            "not_recomputed": count(one["policy"] for one in decisions if one["policy"] not in gates),
        },
    }


def gates_of(report):
    """What the report states of the policies it had the texts of."""
    return {
        one["policy"]: (tuple(one["tiers_bp"][name] for name in ("block", "review", "monitor")), one["effects"])
        for one in report["policies"]
        if one["tiers_bp"]
    }


def main(folder, file):
    report = json.loads(Path(file).read_bytes())
    span = report["period"]
    found = totals(entries_of(folder), gates_of(report), span["since"], span["until"])
    wrong = [name for name in found if found[name] != report["totals"].get(name)]
    print("\n".join(f"{name}: {report['totals'].get(name)} should be {found[name]}" for name in wrong) or "equal")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
