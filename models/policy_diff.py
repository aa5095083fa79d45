"""What changed between two policies, in words, in the order of the work: what is decided, measured, fired, concluded.

    rule many: when `features.seen >= 3` becomes `features.seen >= 5`: 3 -> 5, fires on fewer inputs

Everything a policy is made of is compared field by field, so a field nobody wrote words for shows by its name, under
its section. What is only said otherwise (titles, reasons, worked cases) stands apart: it changes no decision.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal, NamedTuple

from sidechain.models.budget_diff import accounts, bounds, governance, reserves
from sidechain.models.cel import Expression
from sidechain.models.cel.checker import Node
from sidechain.models.policy import Policy

Effect = Literal["decided", "measured", "told", "fires", "follows", "wet", "raw", "words", "other"]
Kind = Literal["added", "removed", "renamed", "changed", "moved"]

EFFECTS: Final[dict[Effect, str]] = {
    "decided": "Which inputs are decided, and when they count",
    "measured": "What is measured",
    "told": "What the wet side may tell",
    "fires": "Which rules fire",
    "follows": "What follows from the rules that fire",
    "wet": "What the wet side is asked; no decision changes by it alone",
    "raw": "How raw data becomes events",
    "words": "Words; no decision changes",
    "other": "Else",
}
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))
_WORDS: Final = ("title", "unit", "reason", "cases")
_IDENTITY: Final = ("text", "digest", "name", "version")  # of the policy: they say that it is another, not how


class Change(NamedTuple):
    """One difference."""

    effect: Effect
    kind: Kind
    what: str  # `rule too_fast`
    field: str  # `when`; empty where the whole is meant
    before: str  # empty where there was nothing
    after: str
    note: str = ""

    def __str__(self) -> str:
        subject = f"{self.what}: {self.field}" if self.field else self.what
        note = f": {self.note}" if self.note else ""
        if self.kind == "added":
            return f"{subject} is new{f': {self.after}' if self.after else ''}{note}"
        if self.kind == "removed":
            return f"{subject} is gone{f'; it was {self.before}' if self.before else ''}{note}"
        if self.kind == "moved":
            return f"{subject} moved from place {self.before} to {self.after}{note}"
        return f"{subject} {'is now called' if self.kind == 'renamed' else self.before + ' becomes'} {self.after}{note}"


@dataclass(frozen=True)
class _Section:
    """Things of one kind, by name, and what a change of their fields can do."""

    kind: str
    of: Callable[[Policy], Mapping[str, Any]]
    effect: Effect
    fields: Mapping[str, Effect]  # where it is another
    keeps_names: bool = False  # a rename is told apart from one gone and one new
    prefix: str = ""  # of the variables that are named after them
    ordered: bool = False


_SECTIONS: Final = (
    _Section("event", lambda one: {"": one.event}, "decided", {"fields": "other", "stake": "words"}),
    _Section("field", lambda one: _named(one.event.fields, "name"), "decided", {"personal": "wet"}),
    _Section("feature", lambda one: _named(one.features, "name"), "measured", {}, keeps_names=True, prefix="features."),
    _Section("signal", lambda one: _named(one.signals, "name"), "told", {}),
    _Section("list", lambda one: _named(one.lists, "name"), "fires", {}, prefix="lists."),
    _Section(
        "rule",
        lambda one: _named(one.rules, "id"),
        "fires",
        {"then": "follows", "points_bp": "follows"},
        keeps_names=True,
        ordered=True,
    ),
    _Section("typology", lambda one: _named(one.typologies, "id"), "follows", {}, keeps_names=True),
    _Section("trust", lambda one: {"": one.trust}, "follows", {}),
    _Section("budgets", bounds, "follows", {}),
    _Section("account", accounts, "follows", {"unit": "follows"}),
    _Section("reserve", reserves, "follows", {}),
    _Section("governance", governance, "follows", {}),
    _Section("wet", lambda one: {"": one.wet}, "wet", {}),
    _Section("source", lambda one: _named(one.sources, "name"), "raw", {}),
)
_COMPARED: Final = (
    "event",
    "features",
    "signals",
    "lists",
    "rules",
    "typologies",
    "trust",
    "wet",
    "sources",
    "budgeting",
)


def changes(before: Policy, after: Policy) -> list[Change]:
    """Every difference, by what it can do to decisions, then in the order of the pack."""
    found: list[Change] = []
    renamed: dict[str, str] = {}
    for section in _SECTIONS:
        found.extend(_of_section(section, before, after, renamed))
    found.extend(_rest(before, after))
    order = list(EFFECTS)
    return sorted(found, key=lambda one: order.index(one.effect))


def _of_section(section: _Section, before: Policy, after: Policy, renamed: dict[str, str]) -> Iterator[Change]:
    old, new = section.of(before), section.of(after)
    gone, fresh = [one for one in old if one not in new], [one for one in new if one not in old]
    names = {name: name for name in old if name in new}
    if section.keeps_names:
        for was in list(gone):
            same = next((one for one in fresh if _same(old[was], new[one], renamed)), None)
            if same is not None:
                yield Change(section.effect, "renamed", f"{section.kind} {was}", "", was, same)
                names[was] = same
                renamed[section.prefix + was] = section.prefix + same
                gone.remove(was)
                fresh.remove(same)
    for name in gone:
        yield Change(section.effect, "removed", f"{section.kind} {name}", "", _shown(old[name]), "")
    for name in fresh:
        yield Change(section.effect, "added", f"{section.kind} {name}", "", "", _shown(new[name]))
    for was, now in names.items():
        yield from _of_fields(section, f"{section.kind} {now}".strip(), old[was], new[now], renamed)
    if section.ordered:
        yield from _moved(section, list(old), list(new), names)


def _of_fields(section: _Section, what: str, old: Any, new: Any, renamed: Mapping[str, str]) -> Iterator[Change]:
    for one in fields(new):
        was, now = getattr(old, one.name), getattr(new, one.name)
        if one.name in ("name", "id") or section.fields.get(one.name) == "other" or _equal(was, now, renamed):
            continue
        effect = section.fields.get(one.name, "words" if one.name in _WORDS else section.effect)
        label, shown = _label(one.name), "" if one.name == "cases" else _value(one.name, now)
        note = _note(was, now) if isinstance(was, Expression) and isinstance(now, Expression) else ""
        if one.name == "cases":
            yield Change(effect, "changed", what, "cases", f"{len(was)} worked", f"{len(now)}")
        else:
            yield Change(effect, "changed", what, label, _value(one.name, was), shown, note)


def _moved(section: _Section, old: list[str], new: list[str], names: Mapping[str, str]) -> Iterator[Change]:
    """Those that stand elsewhere among what both have: an `allow` rule ends the list, so their order counts."""
    kept = [names[one] for one in old if one in names]
    again = [one for one in new if one in kept]
    for name in again:
        if kept.index(name) != again.index(name):
            yield Change(
                section.effect,
                "moved",
                f"{section.kind} {name}",
                "",
                str(kept.index(name) + 1),
                str(again.index(name) + 1),
                "of those that both have",
            )


def _rest(before: Policy, after: Policy) -> Iterator[Change]:
    for one in fields(after):
        was, now = getattr(before, one.name), getattr(after, one.name)
        if one.name in _COMPARED or one.name in _IDENTITY or was == now:
            continue
        effect: Effect = "measured" if one.name == "max_keys" else "words" if one.name in _WORDS else "other"
        yield Change(effect, "changed", _label(one.name), "", _value(one.name, was), _value(one.name, now))


def _named(items: Iterable[Any], by: str) -> dict[str, Any]:
    return {getattr(one, by): one for one in items}


def _same(old: Any, new: Any, renamed: Mapping[str, str]) -> bool:
    """Whether two things do the same, whatever they are called."""
    return all(
        _equal(getattr(old, one.name), getattr(new, one.name), renamed)
        for one in fields(new)
        if one.name not in ("name", "id", *_WORDS)
    )


def _equal(was: Any, now: Any, renamed: Mapping[str, str]) -> bool:
    """Whether a value says the same; names that changed before count as the same."""
    if isinstance(was, Expression) and isinstance(now, Expression):
        return _squeezed(_renaming(was.source, renamed)) == _squeezed(now.source)
    if is_dataclass(was) and is_dataclass(now):
        return all(_equal(getattr(was, one.name), getattr(now, one.name), renamed) for one in fields(was))
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return {renamed.get(name, name): value for name, value in was.items()} == dict(now)
    if isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        return all(_equal(one, other, renamed) for one, other in zip(was, now, strict=True))
    return bool(was == now)


def _renaming(source: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        if "." in old:
            source = re.sub(rf"\b{re.escape(old)}\b", new, source)
    return source


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _label(name: str) -> str:
    """A field as the pack writes it: without the unit of its name."""
    return re.sub(r"_(bp|ms)$", "", name)


def _shown(one: Any) -> str:
    """A whole thing in a few words: what it does, not what it is called."""
    said = [f"{_label(at.name)} {_value(at.name, value)}" for at in fields(one) if (value := getattr(one, at.name))
            not in (at.default, None, ()) and at.name not in ("name", "id", *_WORDS)]  # fmt: skip
    return ", ".join(said)


def _value(name: str, value: Any) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, Expression):
        return f"`{_squeezed(value.source)}`"
    if name.endswith("_ms") and type(value) is int and name not in ("earliest_ms", "latest_ms"):
        return _duration(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{one}: {_value('', item)}" for one, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_value("", one) for one in value) + "]"
    if is_dataclass(value):
        return ", ".join(f"{_label(at.name)} {_value(at.name, getattr(value, at.name))}" for at in fields(value))
    return str(value)


def _duration(value_ms: int) -> str:
    for size, unit in _UNITS:
        if value_ms % size == 0:
            return f"{value_ms // size}{unit}"
    return f"{value_ms}ms"


class _Moved(NamedTuple):
    """A literal that differs, and what that does to the comparison it stands in."""

    before: Any
    after: Any
    fires: int  # 1: on more inputs, -1: on fewer, 0: not to be said


def _note(old: Expression, new: Expression) -> str:
    """Which limits moved, where nothing else did."""
    moved = _literals(old.tree, new.tree, 1)
    if not moved:
        return ""
    said = ", ".join(f"{one.before} -> {one.after}" for one in moved)
    ways = {one.fires for one in moved}
    if str(new.type) == "bool" and ways in ({1}, {-1}):
        said += f", holds for {'more' if ways == {1} else 'fewer'} inputs"
    return said


def _literals(old: Node, new: Node, way: int) -> list[_Moved] | None:
    """The literals that differ; None where more than literals does. `way`: what firing more often does further up."""
    if old.op == new.op == "literal":
        return [] if old.value == new.value else [_Moved(old.value, new.value, 0)]
    if (old.op, len(old.args)) != (new.op, len(new.args)) or (old.op == "variable" and old.value != new.value):
        return None
    found: list[_Moved] = []
    for at, (one, other) in enumerate(zip(old.args, new.args, strict=True)):
        inner = _literals(one, other, _way(old.op, way))
        if inner is None:
            return None
        found += [_towards(old.op, at, moved, way) for moved in inner]
    return found


def _way(op: str, way: int) -> int:
    if op == "!_":
        return -way
    return way if op in ("&&", "||") else 0


def _towards(op: str, at: int, moved: _Moved, way: int) -> _Moved:
    """A raised limit on the right of `>` lets fewer inputs through, on the right of `<` more."""
    ranked = type(moved.before) in (int, float) and type(moved.after) in (int, float)
    if moved.fires or not ranked or op not in (">", ">=", "<", "<="):
        return moved
    raised = 1 if moved.after > moved.before else -1
    right = 1 if at == 1 else -1
    return moved._replace(fires=raised * right * (1 if op[0] == "<" else -1) * way)
