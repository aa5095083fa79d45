"""Why one entry says what it says, in sentences, from the entry alone; with its policy at hand, in the policy's words.

req-00017 was sent to review.
  rule many-errors fired (+2500): many failed requests in five minutes
  trust 4120 of 10000, tier review (block up to 2500, review up to 5000)
    alignment 7500: +0.49
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sidechain.models.dry.budget import REASONS
from sidechain.models.dry.trust import contributions
from sidechain.models.explain_budget import budget_lines, budget_reason
from sidechain.models.otherwise import Otherwise, otherwise
from sidechain.models.policy import Policy, Trust

Entry = Mapping[str, Any]
Lists = Mapping[str, Collection[Any]]
_ACTED = {
    "allow": "was allowed",
    "monitor": "was allowed and is watched",
    "review": "was sent to review",
    "block": "was blocked",
}
_REJECTED = {
    "null-value": "the record has no value",
    "null-key": "the record has no key",
    "key-mismatch": "the record's key is not the event's key field; `sidechain rekey` makes them agree",
    "too-large": "the value is larger than the pack allows",
    "bad-utf8": "the value is not UTF-8",
    "too-deep": "objects are nested too deeply",
    "not-json": "the value is not JSON",
    "not-an-object": "the value is not a JSON object",
    "not-finite": "a number is not finite",
    "duplicate-field": "a field stands twice",
    "unknown-field": "a field is not in the schema",
    "missing-field": "a required field is missing",
    "wrong-type": "a field has the wrong type",
    "out-of-bounds": "a field is outside its bounds",
    "time-out-of-bounds": "the event time is outside the pack's bounds",
    "bad-control": "the control record holds no valid policy, or no list whose rows stand before it",
    "bad-transfer": "the record is no transfer, or is meant for another partition; only workers may write there",
}
_REFUSED = {
    "nothing-stated": "it states neither a label nor a cost",
    "wrong-partition": "it names another partition",
    "unknown-decision": "no decision with its id is remembered in this partition",
    "too-late": "the decision it names lies too far back to be remembered",
    "other-decision": "its id was decided by another entry than the one it names",
    "already-settled": "what it states was settled before",
}

_MOVED: Mapping[str, str] = {str(reason): sentence for reason, sentence in REASONS.items()}


def explain(
    entry: Entry, policy: Policy | None = None, event: bytes | None = None, lists: Lists | None = None
) -> Iterator[str]:
    """Lines of text, most important first.

    `policy`: the one the entry names; without it, ids stand for words. `event`: the input's bytes; with both, each
    rule's limits stand beside what was measured, and the smallest changes that would have decided otherwise. `lists`:
    the rows of the lists it cites, by name.
    """
    kind = entry["kind"]
    if kind == "decision":
        yield from _decision(entry, policy, event, lists)
    elif kind == "duplicate":
        yield f"{entry['id']} was decided before, by entry {entry['first']}; this repetition decided nothing."
    elif kind == "rejected":
        field = f" (field {entry['field']})" if entry.get("field") else ""
        yield f"The input could not be decided: {_REJECTED.get(entry['reason'], entry['reason'])}{field}."
        yield "  Its bytes are in the dead letters, with the same offset."
    elif kind == "settlement":
        yield f"{entry['id']}, decided by entry {entry['settles']}, is settled: {_said(entry)}."
        yield from budget_lines(entry["budget"])
    elif kind == "refused-outcome":
        field = f" (field {entry['field']})" if entry.get("field") else ""
        why = _REJECTED.get(entry["reason"], _REFUSED.get(entry["reason"], entry["reason"]))
        yield f"An outcome settles nothing: {why}{field}."
        if entry["id"] is None:
            yield "  Its bytes are in the dead letters, with the same offset."
        else:
            yield f"  it is about {entry['id']} and says {_said(entry)}"
    elif kind == "policy":
        yield f"From here on policy {entry['policy']} decides, activated by {entry['by']}; before: {entry['previous']}."
    elif kind == "list":
        before = entry["replaces"] or "none"
        yield f"From here on list {entry['list']} is asked, activated by {entry['by']}; before: {before}."
        yield f"  {entry['rows']} rows, SHA-256 {entry['content']}"
    elif kind in ("debit", "credit"):
        yield from _moved(entry)
    elif kind == "gap":
        yield f"{entry['topic']} goes on at offset {entry['to']}; {entry['from']} was due. Decided by {entry['by']}:"
        yield f"  {entry['why']}"
    elif kind == "epoch":
        broken = entry["broken"]
        yield f"Epoch {entry['epoch']} begins here, with an empty state. Decided by {entry['by']}:"
        yield f"  {entry['why']}"
        seq, digest, offset = (
            "unreadable" if broken[one] is None else broken[one] for one in ("seq", "hash", "offset")
        )
        where = "a head the log no longer held" if broken["offset"] is None else f"the record at offset {offset}"
        yield f"  it stands behind {where} (seq {seq}, hash {digest})"
    else:
        yield f"An entry of kind {kind}, which this version does not know."
    if entry["source"] is not None:
        topic, partition, offset = entry["source"]
        yield f"  input: {topic}, partition {partition}, offset {offset}, SHA-256 {entry['digest'] or 'none: no value'}"
    yield f"  sealed as entry {entry['seq']} with hash {entry['hash']}"


def _moved(entry: Entry) -> Iterator[str]:
    """A part of an account that went to another partition, or came from one."""
    transfer = entry["transfer"]
    account = f"{transfer['account']} {transfer['key']}".strip()
    why = "" if entry["reason"] is None else f": {_MOVED.get(entry['reason'], entry['reason'])}"
    if entry["kind"] == "debit":
        yield f"Partition {transfer['source']} asked for {transfer['amount']} {transfer['unit']} of account {account}."
        yield f"  It was given {entry['amount']}{why}."
        return
    yield f"Partition {transfer['source']} gave {transfer['amount']} {transfer['unit']} of account {account}."
    if entry["amount"] != transfer["amount"]:
        yield f"  Of it {entry['amount']} were added and {entry['lapsed']} lapsed{why}."


def _decision(entry: Entry, policy: Policy | None, event: bytes | None, lists: Lists | None) -> Iterator[str]:
    yield f"{entry['id']} {_ACTED.get(entry['action'], entry['action'])} under policy {entry['policy']}."
    fired = list(entry["reasons"])
    if not fired:
        yield "  no rule fired"
    for reason in fired:
        yield f"  {_reason(reason, policy)}"
    trust = policy.trust if policy else None
    yield f"  trust {entry['trust_bp']} of 10000, tier {entry['tier']}"
    if trust:
        edges = (trust.block_bp, trust.review_bp, trust.monitor_bp)
        yield "    tiers: block up to {}, review up to {}, monitor up to {}".format(*edges)
        yield from _shares(entry, trust)
    for name, used in entry["signals"].items():
        yield f"  signal {name}: {_signal(name, used, policy)}"
    for name, ref in entry.get("lists", {}).items():
        yield f"  list {name}: {ref or 'unknown, no version of it was in force'}"
    yield from budget_lines(entry["budget"])
    for flag in entry["flags"]:
        yield f"  flag {flag}: {_FLAGS.get(flag, '')}"
    values = ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in entry["features"].items())
    yield f"  measured: {values}"
    if policy is not None:
        yield from _otherwise(otherwise(entry, policy, event, lists))


def _otherwise(asked: Otherwise) -> Iterator[str]:
    if asked.unsaid is not None:
        yield f"  limits and what would have decided otherwise: {asked.unsaid}"
        return
    yield (
        "  would have been decided otherwise, all else as it was:"
        if asked.nearest
        else "  no other value of anything the rules read would alone have been decided otherwise"
    )
    for one in asked.nearest:
        yield f"    {one.name} {one.needed} instead of {'unknown' if one.value is None else one.value}: {one.action}"
    yield "  each rule's limits, and what was measured:"
    for rule in asked.rules:
        if rule.fired is None:
            yield f"    {rule.id} was not asked: a rule that allows had fired"
            continue
        yield f"    {rule.id} {'fired' if rule.fired else 'did not fire'}"
        for limit in rule.limits:
            yield f"      {limit}"


_FLAGS = {
    "late": "older than a window; windows it fell out of did not count it",
    "ahead": "its time runs ahead of the partition; it was counted at the partition's time",
    "evicted": "the table of keys was full; the least recently seen key was forgotten to make room",
}


def _reason(reason: list[Any], policy: Policy | None) -> str:
    if reason[0] == "rule":
        rule = next((one for one in policy.rules if one.id == reason[1]), None) if policy else None
        words = f": {rule.reason}" if rule and rule.reason else ""
        condition = f"\n      because {' '.join(rule.when.source.split())}" if rule else ""
        return f"rule {reason[1]} fired (+{reason[2]}){words}{condition}"
    if reason[0] == "typology":
        typology = next((one for one in policy.typologies if one.id == reason[1]), None) if policy else None
        words = f": {typology.title}" if typology else ""
        return f"typology {reason[1]} scored {reason[2]}, which asks for {reason[3]}{words}"
    if reason[0] in ("budget", "governance"):
        return budget_reason(reason)
    said = {"floor": "trust is below its floor", "entropy": "the uncertainty is too wide"}.get(reason[1], reason[1])
    return f"trust gate: {said}" + ("" if reason[2] == "flag" else f", which asks for {reason[2]}")


def _shares(entry: Entry, trust: Trust) -> Iterator[str]:
    shares = contributions(trust, *entry["trust_inputs_bp"])
    for one in shares:
        yield f"    {one.name} {one.input_bp} at weight {one.weight_bp}: {_logit(one.logit_e10)}"
    yield f"    together: {_logit(sum(one.logit_e10 for one in shares))} logit"


def _logit(value_e10: int) -> str:
    """Fixed point, so that the shares a reader adds up are the ones that were added up."""
    sign = "-" if value_e10 < 0 else "+"
    return f"{sign}{abs(value_e10) // 10**10}.{abs(value_e10) % 10**10:010d}"


def _signal(name: str, used: Mapping[str, Any], policy: Policy | None) -> str:
    signal = next((one for one in policy.signals if one.name == name), None) if policy else None
    of = signal.of.source if signal and signal.of else "what it is of" if "of" in used else None
    about = "this key" if of is None else f"{of} ({used['of']})" if used.get("of") is not None else of
    if "unknown" in used:
        if "of" in used and used["of"] is None:
            return f"unknown, because {of} is"
        return {
            "absent": f"unknown, nothing was said about {about}",
            "stale": "unknown, the last word was too old",
            "future": "unknown, the last word is about a later event" if of is None else "unknown, not known by then",
            "bounds": "unknown, the value was outside the policy's bounds",
        }.get(used["unknown"], str(used["unknown"]))
    where = f"metadata offset {used['offset']}" if of is None else f"wet.signals offset {used['offset']}"
    whose = "" if of is None else f" about {about}"
    return f"{used['value']}{whose} from {used['model']}, as of {used['as_of']} ({where})"


def _said(entry: Entry) -> str:
    """What an outcome says, in words."""
    label = [] if entry["label"] is None else [f"it was {entry['label']}"]
    cost = [] if entry["cost_minor"] is None else [f"it cost {entry['cost_minor']:,} minor units"]
    return (" and ".join(label + cost) or "nothing") + (f", says {entry['by']}" if entry["by"] is not None else "")
