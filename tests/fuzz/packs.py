"""The policies that are fuzzed: those that come with Sidechain, and some nobody would write but anybody may."""

from typing import Final

import msgspec

from sidechain.models import samples
from sidechain.models.pack_file import PACKS, load, load_pack
from sidechain.models.policy import EventField, Policy

# Every type, role and aggregate, over keys and over the partition; expressions that overflow, divide by zero and ask
# for what is unknown.
EVERY: Final = """
pack: every
version: 1
event:
  unknown_fields: ignore
  max_bytes: 4096
  max_step: 10m
  duplicate_horizon: 512
  fields:
    id: {type: string, role: id, max_length: 40}
    who: {type: string, role: key, max_length: 40, personal: true}
    at: {type: int, role: time}
    n: {type: int}
    low: {type: int, optional: true, min: -5, max: 5}
    text: {type: string, optional: true, max_length: 20}
    d: {type: double, optional: true}
    is_so: {type: bool, optional: true}
    names: {type: list<string>, optional: true, max_length: 8}
features:
  - {name: value, aggregate: value, of: event.low}
  - {name: count, aggregate: count, window: 1m, panes: 6}
  - {name: count_so, aggregate: count, window: 1m, panes: 6, where: event.is_so}
  - {name: sum, aggregate: sum, window: 1m, panes: 6, of: event.n}
  - {name: min, aggregate: min, window: 1m, panes: 6, of: event.n}
  - {name: max, aggregate: max, window: 1h, panes: 60, of: event.low}
  - {name: distinct, aggregate: distinct, window: 1m, panes: 6, of: event.text, max_distinct: 4}
  - {name: distinct_n, aggregate: distinct, window: 1d, panes: 24, of: event.n, where: event.n > 0}
  - {name: mean, aggregate: mean, window: 1m, panes: 6, of: event.n}
  - {name: deviation, aggregate: deviation, window: 1m, panes: 6, of: event.n}
  - {name: ratio, aggregate: ratio, window: 1m, panes: 6, of: event.low}
  - {name: gap, aggregate: gap}
  - {name: all_count, aggregate: count, window: 1h, scope: partition}
  - {name: all_sum, aggregate: sum, window: 366d, panes: 1440, of: event.n, scope: partition}
  - {name: all_distinct, aggregate: distinct, window: 1h, of: event.who, scope: partition}
  - {name: all_mean, aggregate: mean, window: 1h, of: event.n, scope: partition}
  - {name: all_gap, aggregate: gap, scope: partition}
signals:
  risk: {max_age: 15m}
  other: {max_age: 366d, min: -100, max: 100}
rules:
  - {id: overflows, when: event.n * event.n + features.sum > 0, then: note, points: 10000, reason: x.}
  - {id: divides, when: features.sum / features.count_so > 1 || event.n % event.low == 0, then: review, reason: x.}
  - {id: listed, when: '"a" in event.names || size(event.names) > 3', then: monitor, points: 1, reason: x.}
  - {id: texts, when: 'event.text.startsWith(event.who) || size(event.text) == 20', then: note, reason: x.}
  - {id: doubles, when: event.d * 1e308 > 1e308 || event.d < 0.0, then: review, points: 9999, reason: x.}
  - {id: asks, when: signals.risk > 9000 && signals.other < 0, then: block, points: 10000, reason: x.}
  - {id: lets_go, when: event.is_so && features.gap < 5, then: allow, reason: x.}
  - {id: behind, when: features.deviation > features.mean * 3 || features.ratio > 20000, then: block, reason: x.}
typologies:
  - {id: both, title: Both, rules: {overflows: 50, divides: 50, doubles: 50}, review_at: 50, block_at: 100}
budgets:
  timeout: 1m
  cost_unit: n
  max_open: 40
  max_accounts: 30
  remembered: 300
  accounts:
    - {name: all_hour, unit: n, period: 1h, limit: 9007199254740991}
    - {name: text_minute, unit: n, period: 1m, per: event.text, limit: 900, limits: {a: 0, "k:1": 3}, parent: all_hour}
    - {name: who_minute, unit: n, period: 1m, per: event.who, limit: 50, parent: all_hour}
    - {name: looks_hour, unit: looks, period: 1h, limit: 9}
  reserve:
    - {account: who_minute, amount: event.n * event.low, for: [allow, review], then: monitor}
    - {account: text_minute, amount: features.sum, when: event.is_so, for: [monitor], then: flag}
    - {account: looks_hour, amount: "1", for: [review, monitor], then: block}
governance:
  account: who_minute
  complex: event.is_so
  entropy: signals.other
  scenario: [event.text, features.sum > 3]
  quality: event.low
  consumed: event.n
  tripwire: {breaches: 1, recover_at: 0, recover_after: 1}
  insights: {ttl: 1m, keep: 3}
trust:
  alignment: {value: event.n, unknown: 1}
  risk: {value: signals.risk + signals.other, unknown: 9999}
  band: {value: features.sum - features.mean, unknown: 0}
  floor: {below: 6000, then: review}
  entropy: {above: 1, then: block}
state: {max_keys: 7}
"""

# Limits so tight that nearly everything is at one of them.
NARROW: Final = """
pack: narrow
version: 1
event:
  max_bytes: 96
  earliest: 1700000000000
  latest: 1700000600000
  max_step: 1s
  duplicate_horizon: 256
  fields:
    i: {type: string, role: id, max_length: 2}
    k: {type: string, role: key, max_length: 2}
    t: {type: int, role: time}
    v: {type: int, optional: true, min: 0, max: 1}
features:
  - {name: seen, aggregate: count, window: 1s, panes: 1}
  - {name: kinds, aggregate: distinct, window: 2ms, panes: 2, of: event.v, max_distinct: 1}
rules:
  - {id: twice, when: features.seen >= 2, then: block, points: 10000, reason: x.}
state: {max_keys: 1}
"""

# As little as a pack can say.
BARE: Final = """
pack: bare
version: 1
event:
  fields:
    id: {type: string, role: id}
    key: {type: string, role: key}
    at: {type: int, role: time}
rules:
  - {id: never, when: event.at < 0, then: note, reason: x.}
"""

NAMES: Final = (*PACKS, "every", "narrow", "bare")
_ODD: Final = {"every": EVERY, "narrow": NARROW, "bare": BARE}


def policy_of(name: str) -> Policy:
    """One of NAMES."""
    return load(_ODD[name].encode(), name=name) if name in _ODD else load_pack(name)


def valid_events(policy: Policy) -> list[dict[str, object]]:
    """Events this policy accepts, to begin from: of its sample where it has one."""
    if policy.name in samples.RAW:
        return [msgspec.json.decode(one) for one in samples.events(policy)[:200]]
    return [{one.name: _value(one, policy, number) for one in policy.event.fields} for number in range(50)]


def _value(one: EventField, policy: Policy, number: int) -> object:
    if one.role == "time":
        return max(policy.event.earliest_ms, 1_700_000_000_000) + number * 700
    text = f"{number}"[: one.max_length]
    return {
        "string": f"k{number % 9}" if one.role == "key" else text,
        "int": number % 2,
        "double": number / 4,
        "bool": number % 3 == 0,
        "list<string>": [text, "a"],
    }[one.type]
