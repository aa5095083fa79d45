"""A pack's YAML text in, a checked policy out, or everything that is wrong with it.

    web.yaml:41:9: unknown field "windw" in feature requests_1m; did you mean "window"?

What is loaded here can be compiled and run without another look: names exist, types fit, windows divide into panes,
weights and thresholds are in order. `packs/README.md` describes the fields.
"""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final, get_args

from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, Type, Variable, list_of
from sidechain.models.pack_budgets import read_budgets, read_governance
from sidechain.models.pack_lists import list_variable, read_lists
from sidechain.models.pack_reader import NAME, PackError, Problem, Problems, Section, closest, refuse_repeated, titled
from sidechain.models.pack_rules import read_rules, read_trust, read_typologies, read_wet
from sidechain.models.pack_signals import read_signals
from sidechain.models.pack_sources import read_sources
from sidechain.models.policy import Aggregate, EventField, EventSchema, Feature, FieldType, Policy, Role, Scope
from sidechain.models.yaml_positions import Mapping, Node, Scalar, YamlError, parse

PACKS: Final = ("network", "payments", "web")  # what comes with Sidechain
TYPES: Final[dict[FieldType, Type]] = {
    "string": STRING,
    "int": INT,
    "double": DOUBLE,
    "bool": BOOL,
    "list<string>": list_of(STRING),
}
_ALWAYS_KNOWN: Final = ("count", "sum", "distinct")
_WITHOUT_WINDOW: Final = ("gap", "value")
_MAX_PANES: Final = 1_440
_MAX_WINDOW_MS: Final = 366 * 86_400_000
_IDS_PER_BLOCK: Final = 256
_IDS_AT_MOST: Final = 1_048_576  # 150 MB of memory and 45 MB of changelog for each partition


def load(text: bytes, *, name: str) -> Policy:
    """The policy `text` describes; `name` stands for the file in complaints. Raises PackError."""
    try:
        source = text.decode("utf-8")
        root = parse(source)
    except UnicodeDecodeError as error:
        raise PackError([Problem(name, 0, 0, f"byte {error.start} is not UTF-8")]) from None
    except YamlError as error:
        raise PackError([Problem(name, error.line, error.column, error.message)]) from None
    problems = Problems(name, source)
    if not isinstance(root, Mapping):
        problems.add(root, 'a pack is a mapping that begins with "pack: <name>"')
        problems.raise_any()
    policy = _policy(problems, root, source, sha256(text).hexdigest())
    problems.raise_any()
    return policy


def load_file(path: Path) -> Policy:
    """The policy in the file at `path`; raises PackError, also when it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PackError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}")]) from None
    return load(text, name=path.name)


def load_pack(name: str) -> Policy:
    """A policy that comes with Sidechain."""
    if name not in PACKS:
        listed = f"{', '.join(PACKS[:-1])} and {PACKS[-1]}"
        raise PackError([Problem(name, 0, 0, f"there is no such pack, there are {listed}", closest(name, PACKS))])
    text = (files("sidechain.models") / "packs" / f"{name}.yaml").read_bytes()
    return load(text, name=f"{name}.yaml")


def _policy(problems: Problems, root: Node, source: str, digest: str) -> Policy:
    with problems.section(root, "the pack") as pack:
        name = pack.name("pack")
        version = pack.integer("version", least=1, most=1_000_000_000)
        title = pack.text("title", "")
        event = _event(problems, pack.need("event"))
        # Every expression depends on the event's types: what follows from a mistake there would only confuse.
        problems.raise_any()
        variables = {f"event.{one.name}": Variable(TYPES[one.type], unknown=one.optional) for one in event.fields}
        lists = read_lists(problems, pack.get("lists"))
        variables |= {f"lists.{one.name}": list_variable(one) for one in lists}
        features = _features(problems, pack.get("features"), variables)
        signals = read_signals(problems, pack.get("signals"), variables)
        known = dict(variables)
        known |= {f"features.{one.name}": Variable(INT, unknown=_may_be_unknown(one)) for one in features}
        known |= {f"signals.{one.name}": Variable(INT, unknown=True) for one in signals}
        rules = read_rules(problems, pack.need("rules"), known)
        typologies = read_typologies(problems, pack.get("typologies"), rules)
        trust = read_trust(problems, pack.get("trust"), known)
        personal = {one.name for one in event.fields if one.personal}
        key_field = next((one.name for one in event.fields if one.role == "key"), "")
        budgeting = read_budgets(problems, pack.get("budgets"), known, key_field, personal)
        governing = read_governance(problems, pack.get("governance"), known, budgeting)
        if budgeting is not None and governing is not None:
            budgeting = replace(budgeting, governing=governing)
        wet = read_wet(problems, pack.get("wet"), tuple(one.name for one in features))
        sources = read_sources(problems, pack.get("sources"), event, TYPES)
        with problems.section(pack.get("state"), "state") as state:
            max_keys = state.integer("max_keys", 1_000_000, least=1, most=100_000_000)
    return Policy(
        name=name,
        version=version,
        title=title,
        digest=digest,
        text=source,
        event=event,
        features=features,
        signals=signals,
        rules=rules,
        typologies=typologies,
        trust=trust,
        wet=wet,
        sources=sources,
        lists=lists,
        max_keys=max_keys,
        budgeting=budgeting,
    )


def _event(problems: Problems, node: Node | None) -> EventSchema:
    default = EventSchema(fields=())
    with problems.section(node, "event") as event:
        declared = event.need("fields") if node is not None else None
        fields = tuple(_field(problems, name, value) for name, value in problems.pairs(declared, '"fields" of event'))
        for role in get_args(Role):
            _check_role(problems, declared, fields, role)
        schema = EventSchema(
            fields=fields,
            unknown_fields=event.choice("unknown_fields", ("refuse", "ignore"), default.unknown_fields),
            max_bytes=event.integer("max_bytes", default.max_bytes, least=64, most=8_388_608),
            earliest_ms=event.time("earliest", default.earliest_ms),
            latest_ms=event.time("latest", default.latest_ms),
            max_step_ms=event.duration("max_step", default.max_step_ms),
            duplicate_horizon=event.integer("duplicate_horizon", default.duplicate_horizon, least=0),
            stake=_stake(event, fields),
        )
        if schema.duplicate_horizon % _IDS_PER_BLOCK:
            event.complain("duplicate_horizon", f'"duplicate_horizon" must be a multiple of {_IDS_PER_BLOCK}')
        if schema.duplicate_horizon > _IDS_AT_MOST:
            event.complain(
                "duplicate_horizon",
                f'"duplicate_horizon" must be at most {_IDS_AT_MOST}, because each partition keeps that many ids in '
                "memory, 150 bytes each,",
            )
        if schema.latest_ms <= schema.earliest_ms:
            event.complain("latest", '"latest" must be after "earliest"')
    return schema


def _stake(event: Section, fields: Iterable[EventField]) -> str | None:
    name = event.text("stake", "", 64)
    counted = [one.name for one in fields if one.type == "int" and one.role is None]
    if name and name not in counted:
        event.complain("stake", f'"stake" must name an int field, and {name} is none,', closest(name, counted))
    return name or None


def _field(problems: Problems, written: Scalar, node: Node) -> EventField:
    name = written.text
    if not NAME.fullmatch(name):
        problems.add(written, f'field name "{name}" must be lower-case letters, digits and _, beginning with a letter')
    with problems.section(node, f"field {name}") as field:
        kind = field.choice("type", get_args(FieldType))
        role = field.choice("role", get_args(Role)) if field.get("role") is not None else None
        one = EventField(
            name=name,
            type=kind,
            role=role,
            optional=field.flag("optional"),
            personal=field.flag("personal"),
            minimum=field.optional_integer("min"),
            maximum=field.optional_integer("max"),
            max_length=field.integer("max_length", 1_024, least=1, most=1_048_576),
            title=field.text("title", ""),
            unit=field.text("unit", ""),
        )
        if kind != "int" and (one.minimum is not None or one.maximum is not None):
            field.complain("min" if one.minimum is not None else "max", "only an int has bounds")
        elif one.minimum is not None and one.maximum is not None and one.minimum > one.maximum:
            field.complain("max", '"max" is below "min"')
        if role is not None and one.optional:
            field.complain("optional", f"the {role} of an event cannot be optional")
        if role is not None and kind != ("int" if role == "time" else "string"):
            field.complain("type", f"the {role} of an event must be {'an int' if role == 'time' else 'a string'}")
    return one


def _check_role(problems: Problems, declared: Node | None, fields: Iterable[EventField], role: Role) -> None:
    if declared is None:
        return
    holders = [one.name for one in fields if one.role == role]
    if not holders:
        problems.add(declared, f"no field has role: {role}")
    elif len(holders) > 1:
        problems.add(declared, f"{' and '.join(holders)} have role: {role}, and only one can")


def _features(problems: Problems, node: Node | None, variables: dict[str, Variable]) -> tuple[Feature, ...]:
    seen: set[str] = set()
    found: list[Feature] = []
    for index, one in enumerate(problems.items(node, "features")):
        with problems.section(one, titled("feature", one, "name", index)) as section:
            feature = _feature(section, variables)
            refuse_repeated(section, "name", feature.name, seen)
            found.append(feature)
    return tuple(found)


def _feature(section: Section, variables: dict[str, Variable]) -> Feature:
    name = section.name("name")
    mistakes = len(section.problems.found)
    aggregate = section.choice("aggregate", get_args(Aggregate))
    if len(section.problems.found) > mistakes:
        section.say_no_more()  # which of the other fields belong here depends on it
        return Feature(name=name, aggregate=aggregate)
    window_ms, panes = 0, 12
    if aggregate in _WITHOUT_WINDOW:
        _refuse_given(section, ("window", "panes"), f"a {aggregate} has no window")
    else:
        window_ms = section.duration("window")
        panes = section.integer("panes", 12, least=1, most=_MAX_PANES)
        if window_ms:
            _check_panes(section, window_ms, panes)
    if aggregate == "value":
        _refuse_given(section, ("where", "scope"), "a value is of the event itself")
    if aggregate == "distinct":
        of = section.optional_cel("of", variables)
        if of is not None and of.type not in (INT, STRING):
            section.complain("of", f'"of" must be int or string, and it is {of.type}')
    elif aggregate in ("count", "gap"):
        _refuse_given(section, ("of",), f"a {aggregate} counts events")
        of = None
    else:
        of = section.optional_cel("of", variables, INT)
    if of is None and aggregate not in ("count", "gap") and section.get("of") is None:
        section.need("of")
    return Feature(
        name=name,
        aggregate=aggregate,
        window_ms=window_ms,
        panes=panes,
        of=of,
        where=section.optional_cel("where", variables, BOOL) if aggregate != "value" else None,
        scope=section.choice("scope", get_args(Scope), "key") if aggregate != "value" else "key",
        max_distinct=section.integer("max_distinct", 256, least=1, most=65_536) if aggregate == "distinct" else 256,
        title=section.text("title", ""),
    )


def _refuse_given(section: Section, names: Iterable[str], why: str) -> None:
    for name in names:
        if section.get(name) is not None:
            section.complain(name, f'{why}: remove "{name}"')


def _check_panes(section: Section, window_ms: int, panes: int) -> None:
    if window_ms > _MAX_WINDOW_MS:
        section.complain("window", f'"window" must be at most {_MAX_WINDOW_MS // 86_400_000}d')
    elif window_ms % panes:
        better = next(count for count in range(min(panes, window_ms), 0, -1) if window_ms % count == 0)
        place = "panes" if section.get("panes") is not None else "window"
        section.complain(place, f"{window_ms} ms do not divide into {panes} panes", f"panes: {better}")


def _may_be_unknown(feature: Feature) -> bool:
    if feature.aggregate == "value":
        return feature.of is None or feature.of.unknown
    return feature.aggregate not in _ALWAYS_KNOWN
