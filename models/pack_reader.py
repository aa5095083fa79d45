"""Typed access to a pack's tree: every complaint is collected with its place, and reading goes on.

    with problems.section(node, "feature requests_1m") as feature:
        window_ms = feature.duration("window")

A getter returns a harmless stand-in after it complained, so that one mistake yields one line and the next one is
found in the same run. Leaving the `with` complains about names nobody asked for.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingType
from collections.abc import Sequence as SequenceType
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from sidechain.models import utc
from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, CelError, Expression, Type, Variable, check
from sidechain.models.yaml_positions import Mapping, Node, Scalar, Sequence, plain, position

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_TEXT: Final = 2_000  # characters of a title or a reason
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_STAND_IN: Final = {INT: "0", DOUBLE: "0.0", BOOL: "false", STRING: "''"}
_MISSING: Final = object()
_MAX_PROBLEMS: Final = 100  # nobody reads more

T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint about a pack: `web.yaml:41:9: unknown field "windw" in feature a; did you mean "window"?`"""

    file: str
    line: int  # from 1; 0: the file as a whole
    column: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}{hint}"


class PackError(ValueError):
    """A pack that is refused, with everything that is wrong with it, one line each."""

    def __init__(self, problems: SequenceType[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(one) for one in problems))


class Problems:
    """What was found so far in one file."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.source = source
        self.found: list[Problem] = []

    def add(self, node: Node, message: str, suggestion: str | None = None) -> None:
        """Complain about `node`."""
        self.found.append(Problem(self.file, node.line, node.column, message, suggestion))

    def raise_any(self) -> None:
        """Raise PackError if there is anything to say, in the order of the file."""
        if self.found:
            ordered = sorted(self.found, key=lambda one: (one.line, one.column))
            raise PackError(ordered[:_MAX_PROBLEMS])

    @contextmanager
    def section(self, node: Node | None, what: str) -> Iterator["Section"]:
        """The mapping `node`; `what` names it in complaints, such as `rule too_fast`."""
        opened = Section(self, node, what)
        yield opened
        opened.close()

    def items(self, node: Node | None, what: str) -> tuple[Node, ...]:
        """The list `node`; absent is empty."""
        if isinstance(node, Sequence):
            return node.items
        if node is not None and not is_absent(node):
            self.add(node, f"{what} must be a list")
        return ()

    def pairs(self, node: Node | None, what: str) -> tuple[tuple[Scalar, Node], ...]:
        """The mapping `node` whose names the pack chooses; absent is empty."""
        if isinstance(node, Mapping):
            return node.items
        if node is not None and not is_absent(node):
            self.add(node, f"{what} must be a mapping")
        return ()

    def cel(
        self, node: Node | None, what: str, variables: MappingType[str, Variable], expect: Type | None = None
    ) -> Expression | None:
        """The checked expression in `node`; None after a complaint."""
        if not isinstance(node, Scalar):
            if node is not None:
                self.add(node, f"{what} must be an expression, written as text")
            return None
        try:
            return check(node.text, variables, expect=expect)
        except CelError as error:
            lines = node.text.split("\n")
            offset = sum(len(one) + 1 for one in lines[: error.line - 1]) + error.column - 1
            line, column = position(self.source, node, offset)
            found = Problem(self.file, line, column, f"{what}: {error.message}", error.suggestion)
            self.found.append(found)
            return None


class Section:
    """One mapping of the pack with a fixed set of names."""

    def __init__(self, problems: Problems, node: Node | None, what: str) -> None:
        self.problems = problems
        self.what = what
        self.node = node
        self.asked: list[str] = []
        self._missing: list[str] = []
        self._items: dict[str, tuple[Scalar, Node]] = {}
        if isinstance(node, Mapping):
            self._items = {name.text: (name, value) for name, value in node.items}
        elif node is not None and not is_absent(node):
            problems.add(node, f"{what} must be a mapping")

    def get(self, name: str) -> Node | None:
        """The node under `name`, if it is there and not empty."""
        self.asked.append(name)
        _, value = self._items.get(name, (None, None))
        return None if value is None or is_absent(value) else value

    def need(self, name: str) -> Node | None:
        """The node under `name`; its absence is a complaint."""
        value = self.get(name)
        if value is None and isinstance(self.node, Mapping):
            self._missing.append(name)
        return value

    def complain(self, name: str, message: str, suggestion: str | None = None) -> None:
        """About the value under `name`, or about the section where there is none."""
        _, value = self._items.get(name, (None, None))
        node = value or self.node
        assert node is not None
        self.problems.add(node, f"{message} in {self.what}", suggestion)

    def text(self, name: str, default: str | None = None, limit: int = MAX_TEXT) -> str:
        """A short text; without `default` it must be there."""
        value = self._plain(name, default)
        if isinstance(value, str) and len(value) <= limit:
            return value.strip()
        if value is not _MISSING:
            self.complain(name, f'"{name}" must be a text of at most {limit} characters')
        return default or ""

    def name(self, name: str) -> str:
        """An identifier: it must be there, lower case, fit for an expression."""
        value = self._plain(name, None)
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        if value is not _MISSING:
            self.complain(name, f'"{name}" must be lower-case letters, digits and _, beginning with a letter,')
        return "?"

    def choice(self, name: str, options: Iterable[T], default: T | None = None) -> T:
        """One word of a closed set."""
        options = tuple(options)
        value = self._plain(name, default)
        for one in options:
            if one == value:
                return one
        if value is not _MISSING:
            listed = ", ".join(options)
            self.complain(name, f'"{name}" must be one of {listed}, not {_shown(value)},', closest(str(value), options))
        return default or options[0]

    def integer(self, name: str, default: int | None = None, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """A whole number within bounds, inclusive."""
        value = self._plain(name, default)
        if type(value) is int and least <= value <= most:
            return value
        if value is not _MISSING:
            bounds = f"from {least} to {most}" if most < 2**63 - 1 else f"of at least {least}"
            self.complain(name, f'"{name}" must be a whole number {bounds}, not {_shown(value)},')
        return default if default is not None else least

    def optional_integer(self, name: str, *, least: int = -(2**63), most: int = 2**63 - 1) -> int | None:
        """A whole number, or None where the pack says nothing."""
        return None if self.get(name) is None else self.integer(name, least=least, most=most)

    def flag(self, name: str) -> bool:
        """true or false; absent is false."""
        value = self._plain(name, default=False)
        if isinstance(value, bool):
            return value
        self.complain(name, f'"{name}" must be true or false, not {_shown(value)},')
        return False

    def duration(self, name: str, default: int | None = None) -> int:
        """Milliseconds: `250ms`, `30s`, `5m`, `1h`, `7d`; more than none, and 0 only after a complaint."""
        value = self._plain(name, default)
        if type(value) is int and value == default:
            return value
        if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
            if milliseconds := int(match[1]) * _UNIT_MS[match[2]]:
                return milliseconds
            self.complain(name, f'"{name}" must be longer than zero')
        elif value is not _MISSING:
            self.complain(name, f'"{name}" must be a duration such as 250ms, 30s, 5m, 1h or 7d, not {_shown(value)},')
        return default or 0

    def time(self, name: str, default: int) -> int:
        """Milliseconds since 1970: a whole number, or RFC 3339 with its offset."""
        value = self._plain(name, default)
        if type(value) is int and value >= 0:
            return value
        if isinstance(value, str):
            try:
                parsed = datetime.fromisoformat(value)
            except ValueError:
                parsed = None
            if parsed is not None and parsed.tzinfo is not None:
                return utc.ms(parsed)
        self.complain(
            name, f'"{name}" must be a time such as 1995-08-01T00:00:00Z or whole milliseconds, not {_shown(value)},'
        )
        return default

    def names(self, name: str) -> tuple[tuple[str, Node], ...]:
        """A list of texts with their nodes; absent is empty."""
        found: list[tuple[str, Node]] = []
        for one in self.problems.items(self.get(name), f'"{name}" of {self.what}'):
            if isinstance(one, Scalar) and one.text:
                found.append((one.text, one))
            else:
                self.problems.add(one, f'"{name}" of {self.what} must be a list of names')
        return tuple(found)

    def cel(self, name: str, variables: MappingType[str, Variable], expect: Type) -> Expression:
        """The expression under `name`, which must be there."""
        found = self.problems.cel(self.need(name), f'"{name}" of {self.what}', variables, expect)
        return found or check(_STAND_IN[expect], {})

    def optional_cel(
        self, name: str, variables: MappingType[str, Variable], expect: Type | None = None
    ) -> Expression | None:
        """The expression under `name`, or None where the pack says nothing."""
        return self.problems.cel(self.get(name), f'"{name}" of {self.what}', variables, expect)

    def say_no_more(self) -> None:
        """Take the rest of the section as it is."""
        self.asked.extend(self._items)

    def close(self) -> None:
        """Complain about every name no getter asked for, and every needed one that is neither there nor misspelt."""
        unknown = [name for name in self._items if name not in self.asked]
        meant = {name: closest(name, set(self.asked) - set(self._items)) for name in unknown}
        for name in unknown:
            self.problems.add(self._items[name][0], f'unknown field "{name}" in {self.what}', meant[name])
        for name in dict.fromkeys(self._missing):
            if name not in meant.values() and self.node is not None:
                _, empty = self._items.get(name, (None, None))
                self.problems.add(empty or self.node, f'missing field "{name}" in {self.what}')

    def _plain(self, name: str, default: object) -> Any:
        """The value under `name`; the default, or after a complaint _MISSING, where there is none."""
        node = self.get(name) if default is not None else self.need(name)
        if node is None:
            return _MISSING if default is None else default
        return plain(node)


def closest(word: str, options: Iterable[str]) -> str | None:
    """What somebody who wrote `word` may have meant."""
    found = get_close_matches(word, sorted(options), n=1, cutoff=0.6)
    return found[0] if found else None


def titled(kind: str, node: Node, field: str, index: int) -> str:
    """`rule too_fast`, or `rule number 3` where its name is missing."""
    named = {name.text: value for name, value in node.items} if isinstance(node, Mapping) else {}
    name = named.get(field)
    return f"{kind} {name.text}" if isinstance(name, Scalar) and name.text else f"{kind} number {index + 1}"


def refuse_repeated(section: Section, field: str, value: str, seen: set[str]) -> None:
    """Complain when `value` was seen before in its list; `?` stands for one that was refused already."""
    if value in seen and value != "?":
        section.complain(field, f'duplicate {field} "{value}"')
    seen.add(value)


def is_absent(node: Node) -> bool:
    """`name:` with nothing behind it, or null."""
    return isinstance(node, Scalar) and node.value() is None


def _shown(value: object) -> str:
    shown = f'"{value}"' if isinstance(value, str) else f"{value}"
    return shown if len(shown) <= 60 else shown[:57] + "..."
