"""YAML as a tree whose every node knows its line and column, so that each complaint about a pack can point.

Less than YAML on purpose: no anchors, aliases, tags or merge keys (a pack is read top to bottom by people), plain
scalars as in YAML 1.2 (`no` is a word, only `true` and `false` are not), one document, bounded size and depth.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 16
MAX_NODES: Final = 100_000

_INT: Final = re.compile(r"[-+]?[0-9](?:_?[0-9])*")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_MAX_DIGITS: Final = 19
_QUOTES: Final = ("'", '"')


class YamlError(ValueError):
    """Text that is no YAML, or more of YAML than a pack may use: what is wrong, and where (1-based)."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` with quotes and escapes resolved; `style` is None (plain), a quote, `|` or `>`."""

    text: str
    style: str | None
    line: int
    column: int
    start: int  # character offsets in the source, of the quote or indicator if there is one
    end: int

    def value(self) -> object:
        """What a plain scalar means: a number, true, false, None, or its text; a quoted one is always its text."""
        if self.style is not None:
            return self.text
        if self.text in ("", "null", "~"):
            return None
        if self.text in ("true", "false"):
            return self.text == "true"
        if _INT.fullmatch(self.text) and sum(map(str.isdigit, self.text)) <= _MAX_DIGITS:
            return int(self.text)
        return float(self.text) if _FLOAT.fullmatch(self.text) else self.text


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Names to values, in the order of the file; no name stands twice."""

    items: tuple[tuple[Scalar, "Node"], ...]
    line: int
    column: int


Node = Scalar | Sequence | Mapping


def parse(source: str) -> Node:
    """The tree of the one document in `source`; raises YamlError.

    Never PyYAML's C parser, faster as it is: it takes some texts the other refuses, and the same bytes must be the same
    policy on every machine.
    """
    if len(source.encode()) > MAX_BYTES:
        raise YamlError(f"the file is larger than {MAX_BYTES} bytes", 1, 1)
    try:
        return _tree(yaml.parse(source, Loader=yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlError(_sentence(error), line, column) from None
    except yaml.YAMLError as error:  # a character YAML does not allow
        raise YamlError(str(error).splitlines()[0], 1, 1) from None


def plain(node: Node) -> Any:
    """The tree as Python values, for what has no schema of its own."""
    if isinstance(node, Mapping):
        return {name.text: plain(value) for name, value in node.items}
    if isinstance(node, Sequence):
        return [plain(one) for one in node.items]
    return node.value()


def position(source: str, scalar: Scalar, offset: int) -> tuple[int, int]:
    """Line and column in `source` of character `offset` of the scalar's text.

    Folding and indentation change only white space, so the n-th character that is not white space in the text is the
    n-th in the source.
    """
    ahead = sum(not one.isspace() for one in scalar.text[:offset])
    at = _content_start(source, scalar)
    after = at
    while at < scalar.end and (ahead > 0 or source[at].isspace()):
        step = _width(source, at, scalar.style)
        if not source[at].isspace():
            ahead -= 1
            after = at + step
        at += step
    if at >= scalar.end:  # the text ends too early: just behind its last character
        at = after
    return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)


def _content_start(source: str, scalar: Scalar) -> int:
    if scalar.style in _QUOTES:
        return scalar.start + 1
    if scalar.style in ("|", ">"):
        return source.index("\n", scalar.start) + 1
    return scalar.start


def _width(source: str, at: int, style: str | None) -> int:
    """How many characters of the source make one of the text."""
    if style == '"' and source[at] == "\\":
        return {"x": 4, "u": 6, "U": 10}.get(source[at + 1], 2)
    return 2 if style == "'" and source.startswith("''", at) else 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    is_mapping: bool
    line: int
    column: int
    nodes: list[Node] = field(default_factory=list)  # of a mapping: name, value, name, value ...

    def closed(self) -> Node:
        if not self.is_mapping:
            return Sequence(tuple(self.nodes), self.line, self.column)
        pairs: list[tuple[Scalar, Node]] = []
        seen: dict[str, int] = {}
        for name, value in zip(self.nodes[::2], self.nodes[1::2], strict=True):
            if not isinstance(name, Scalar):
                raise YamlError("a list or mapping cannot be a name", name.line, name.column)
            if name.text in seen:
                raise YamlError(f'"{name.text}" stands twice, first on line {seen[name.text]}', name.line, name.column)
            seen[name.text] = name.line
            pairs.append((name, value))
        return Mapping(tuple(pairs), self.line, self.column)


def _tree(events: Iterable[Any]) -> Node:
    """Events to nodes without recursion: depth is our limit, not the interpreter's."""
    root = _Open(is_mapping=False, line=1, column=1)
    open_nodes = [root]
    documents = count = 0
    for event in events:
        mark: Any = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlError("a pack is one document: remove everything from the second --- on", line, column)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = open_nodes.pop()
            open_nodes[-1].nodes.append(done.closed())
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            _refuse_extras(event, line, column)
            if count > MAX_NODES:
                raise YamlError(f"more than {MAX_NODES} values", line, column)
            if isinstance(event, yaml.ScalarEvent):
                end: Any = event.end_mark
                style = event.style or None
                open_nodes[-1].nodes.append(Scalar(event.value, style, line, column, mark.index, end.index))
                continue
            if len(open_nodes) > MAX_DEPTH:
                raise YamlError(f"nested more than {MAX_DEPTH} deep", line, column)
            open_nodes.append(_Open(isinstance(event, yaml.MappingStartEvent), line, column))
    if not root.nodes:
        raise YamlError("the file is empty", 1, 1)
    return root.nodes[0]


def _refuse_extras(event: Any, line: int, column: int) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise YamlError("anchors and aliases are not supported: write it out", line, column)
    if event.tag is not None:
        raise YamlError(f"tags ({event.tag}) are not supported: remove it", line, column)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = (error.context, error.problem)
    return " ".join(one for one in parts if one) or "this is no YAML"
