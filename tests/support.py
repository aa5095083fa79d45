"""Small policies and events for tests of the dry kernel, built without a pack file.

    policy(features=[feature("seen", "count", "1m")], rules=[rule("many", "features.seen > 3", "review", 2500)])

An event has an id, a key `host`, a time `at`, an int `n`, an optional int `m`, an optional text `s` and an optional
double `d`, unless a test says otherwise.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings

from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, Variable, check, list_of
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.fold import LoadPolicy
from sidechain.models.pack_budgets import read_budgets, read_governance
from sidechain.models.pack_reader import Problems
from sidechain.models.policy import (
    Budgeting,
    EventField,
    EventSchema,
    Feature,
    Policy,
    Rule,
    Signal,
    Trust,
    TrustInput,
    Typology,
)
from sidechain.models.yaml_positions import parse

# A loaded machine is slow, not wrong.
settings.register_profile("sidechain", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sidechain")

T0 = 1_700_000_000_000  # some event time, ms; a whole number of minutes it is not
TYPES = {"string": STRING, "int": INT, "double": DOUBLE, "bool": BOOL, "list<string>": list_of(STRING)}
UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
FIELDS = (
    EventField(name="id", type="string", role="id"),
    EventField(name="host", type="string", role="key"),
    EventField(name="at", type="int", role="time"),
    EventField(name="n", type="int"),
    EventField(name="m", type="int", optional=True),
    EventField(name="s", type="string", optional=True),
    EventField(name="d", type="double", optional=True),
)
ALWAYS_KNOWN = ("count", "sum", "distinct")

Spec = Mapping[str, Any]


def ms(text: str) -> int:
    """`90s` in milliseconds."""
    number = text.rstrip("msh")
    return int(number) * UNITS[text[len(number) :]]


def feature(name: str, aggregate: str, window: str = "", *, of: str = "", where: str = "", **more: Any) -> Spec:
    """A feature whose expressions are still text; `policy` checks them against its fields."""
    return {"name": name, "aggregate": aggregate, "window": window, "of": of, "where": where, **more}


def rule(name: str, when: str, then: str = "note", points: int = 0) -> Spec:
    """A rule whose condition is still text."""
    return {"id": name, "when": when, "then": then, "points_bp": points}


def trust(alignment: str = "10000", risk: str = "score_bp", band: str = "0", **more: Any) -> Spec:
    """The trust gate's inputs as text. By default everything passes that has no points."""
    return {"alignment": alignment, "risk": risk, "band": band, **more}


def policy(
    *,
    fields: Sequence[EventField] = FIELDS,
    features: Iterable[Spec] = (),
    signals: Sequence[Signal] = (),
    rules: Iterable[Spec] = (),
    typologies: Sequence[Typology] = (),
    gate: Spec | None = None,
    budgets: str = "",
    governance: str = "",
    name: str = "test",
    version: int = 1,
    max_keys: int = 1_000_000,
    **event: Any,
) -> Policy:
    """A policy; what stands in `event` goes to its schema. Its text only serves to give it a digest of its own.

    `budgets`, `governance`: those sections of a pack, without their first line.
    """
    of_event = {f"event.{one.name}": Variable(TYPES[one.type], unknown=one.optional) for one in fields}
    features = tuple(_feature(one, of_event) for one in features)
    known = dict(of_event)
    known |= {f"features.{one.name}": Variable(INT, unknown=_may_be_unknown(one)) for one in features}
    known |= {f"signals.{one.name}": Variable(INT, unknown=True) for one in signals}
    rules = tuple(Rule(**{**one, "when": check(one["when"], known, expect=BOOL)}) for one in rules)
    schema = EventSchema(fields=tuple(fields), **event)
    gate = _trust(gate or trust(), {**known, "score_bp": Variable(INT)})
    parts = (
        name,
        version,
        schema,
        features,
        signals,
        rules,
        typologies,
        gate,
        max_keys,
        *filter(None, [budgets, governance]),
    )
    text = f"{name}@{version} {sha256(repr(parts).encode()).hexdigest()}"
    return Policy(
        name=name,
        version=version,
        title="",
        digest=sha256(text.encode()).hexdigest(),
        text=text,
        event=schema,
        features=features,
        signals=tuple(signals),
        rules=rules,
        typologies=tuple(typologies),
        trust=gate,
        max_keys=max_keys,
        budgeting=_budgeting(budgets, governance, known) if budgets else None,
    )


def _budgeting(text: str, governance: str, known: Mapping[str, Variable]) -> Budgeting | None:
    problems = Problems("test", text)
    read = read_budgets(problems, parse(text), known, "host")
    governing = read_governance(problems, parse(governance), known, read) if governance else None
    problems.raise_any()
    return None if read is None else replace(read, governing=governing)


def event(number: int, **more: Any) -> dict[str, Any]:
    """Event `number`: one a second, all of one host."""
    return {"id": f"e-{number}", "host": "h", "at": T0 + number * 1_000, "n": 1, **more}


def line(fields: Mapping[str, Any]) -> bytes:
    """An event as it stands on the topic."""
    return json.dumps(fields, separators=(",", ":")).encode()


def records(events: Iterable[Mapping[str, Any] | bytes | None], start: int = 0) -> list[Line]:
    """Events as the records of a topic, keyed by their host where they have one."""
    found = []
    for offset, one in enumerate(events, start):
        if isinstance(one, Mapping):
            found.append(Line(offset, str(one["host"]).encode(), line(one)))
        else:
            found.append(Line(offset, b"h", one))
    return found


def fold(folded: Fold, events: Iterable[Mapping[str, Any] | bytes | None], **more: Any) -> list[dict[str, Any]]:
    """The entries of events, decoded; offsets go on where the fold stands."""
    made = folded.events(records(events, folded.next["events"]), **more)
    return [msgspec.json.decode(value) for _, value in made.entries]


def decided(one: Policy, events: Iterable[Mapping[str, Any] | bytes | None], **more: Any) -> list[dict[str, Any]]:
    """The entries of a new chain under policy `one`."""
    return fold(Fold(one, 0), events, **more)


def control(one: Policy, offset: int = 0, **more: Any) -> Line:
    """The control record that activates policy `one`."""
    value = {"kind": "policy", "name": one.name, "version": one.version, "digest": one.digest}
    return Line(offset, one.name.encode(), line({**value, "by": "anna", "at": T0, "text": one.text, **more}))


def loader(*policies: Policy) -> LoadPolicy:
    """Reads the texts of these policies and refuses others, as a pack loader does."""
    known = {one.text.encode(): one for one in policies}

    def load(text: bytes) -> Policy:
        if text not in known:
            raise ValueError("no such policy")
        return known[text]

    return load


def _feature(spec: Spec, variables: Mapping[str, Variable]) -> Feature:
    expects = {"distinct": None}.get(spec["aggregate"], INT)
    more = {name: value for name, value in spec.items() if name not in ("window", "of", "where")}
    return Feature(
        window_ms=ms(spec["window"]) if spec["window"] else 0,
        of=check(spec["of"], variables, expect=expects) if spec["of"] else None,
        where=check(spec["where"], variables, expect=BOOL) if spec["where"] else None,
        **more,
    )


def _may_be_unknown(one: Feature) -> bool:
    if one.aggregate == "value":
        return one.of is None or one.of.unknown
    return one.aggregate not in ALWAYS_KNOWN


def _trust(spec: Spec, variables: Mapping[str, Variable]) -> Trust:
    inputs = {
        name: TrustInput(value=check(spec[name], variables, expect=INT), unknown_bp=spec.get(f"{name}_unknown", 0))
        for name in ("alignment", "risk", "band")
    }
    more = {name: value for name, value in spec.items() if name not in inputs and not name.endswith("_unknown")}
    return Trust(**inputs, **more)
