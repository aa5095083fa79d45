"""The smallest single change that would have decided otherwise, found by asking the kernel itself.

One value is changed at a time and everything else stays as it was: what history measured, too, even where the event
has its own part in it, and what accounts refused. The kernel is asked about every value up to NEAR away, then at
doubling distances and around the numbers the policy itself names, and what lies between two answers is halved down. So
an answer is always right; that no nearer one exists is certain up to NEAR, and beyond it wherever the action changes
only once on the way.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from sidechain.models.cel import Expression
from sidechain.models.dry.parse import INT64_MAX, INT64_MIN, Rejection
from sidechain.models.dry.program import RANK, Program
from sidechain.models.dry.windows import RATIO_MAX_BP
from sidechain.models.policy import ACTIONS, Feature, Policy

NEAR: Final = 256  # values on each side that are asked one by one
ANOTHER: Final = "another value"  # of a text: one that no rule names

Rows = Mapping[Any, Any]  # of a list: key -> value

_NEVER_NEGATIVE: Final = ("count", "distinct", "deviation")


class Nearest(msgspec.Struct, frozen=True):
    """One value that would have had to be another."""

    name: str  # `features.seen`
    value: int | bool | str | None  # as it was; None: unknown
    needed: int | bool | str
    action: str  # that follows

    @property
    def order(self) -> tuple[int, int, str]:
        """Known numbers first, the smallest change in proportion to the value before all others."""
        if type(self.value) is int and type(self.needed) is int:
            return 0, abs(self.needed - self.value) * 10_000 // max(abs(self.value), 1), self.name
        return 1 if self.value is not None else 2, 0, self.name


class Question:
    """One decision that can be asked again with one value changed."""

    def __init__(
        self,
        entry: Mapping[str, Any],
        policy: Policy,
        event: bytes,
        lists: Mapping[str, Collection[Any]] | None = None,
    ) -> None:
        """`event`: the input's bytes; `lists`: the rows of those the entry cites, by name.

        Raises ValueError when they do not belong together, or some are missing.
        """
        self.policy = policy
        self._program = Program(policy)
        self._lists = {name: (lists or {}).get(name) for name, ref in entry.get("lists", {}).items() if ref is not None}
        for name, rows in self._lists.items():
            if rows is None:
                raise ValueError(f"the rows of list {name} are not at hand")
            self._program.use_rows(name, rows)
        self._event = self._program.parse(event)
        if self._event.__class__ is Rejection:
            raise ValueError("the event is none under this policy")
        self._features = tuple(entry["features"].get(name) for name in self._program.feature_names)
        self._signals = tuple(entry["signals"].get(name, {}).get("value") for name in self._program.signal_names)
        demands = [RANK.get(one[-1], 0) for one in entry["reasons"] if one[0] in ("budget", "governance")]
        self._least = max(demands, default=0)  # what accounts and governance refused stays refused
        self.action = self._action(self._event, self._features, self._signals)
        if self.action != entry["action"]:
            raise ValueError("under this policy the entry's values lead to another action")

    def values(self) -> dict[str, Any]:
        """Every value the rules may read, by dotted name; an unknown one is None."""
        found = {f"event.{one.name}": getattr(self._event, one.name) for one in self.policy.event.fields}
        found |= {f"lists.{name}": rows for name, rows in self._lists.items()}
        found |= {f"features.{name}": value for name, value in self._named(self._program.feature_names, self._features)}
        return found | {
            f"signals.{name}": value for name, value in self._named(self._program.signal_names, self._signals)
        }

    def nearest(self) -> list[Nearest]:
        """For each value that matters the nearest one that changes the action, the smallest change first."""
        return sorted(self._each(), key=lambda one: one.order)

    def _each(self) -> Iterator[Nearest]:
        trees = [one.tree for one in _expressions(self.policy)]
        numbers, texts = _numbers(trees), _texts(trees)
        values = self.values()
        for name, ask, bounds in self._ways():
            value = values[name]
            if isinstance(bounds, tuple):
                found: Any = _search(ask, self.action, value, *bounds, numbers)
            else:
                others: Iterable[Any] = (*texts.get(name, ()), ANOTHER) if bounds == "string" else (False, True)
                found = next((one for one in others if one != value and ask(one) != self.action), None)
            if found is not None:
                yield Nearest(name, value, found, ask(found))

    def _ways(self) -> Iterator[tuple[str, Callable[[Any], str], tuple[int, int] | str]]:
        """(name, how to ask about another value, bounds of an int or else the type) of all that is worth asking."""
        read = {name for one in _expressions(self.policy) for name in one.variables}
        for field in self.policy.event.fields:
            name = f"event.{field.name}"
            if name in read and field.type in ("int", "bool", "string") and field.role != "time":
                low = INT64_MIN if field.minimum is None else field.minimum
                high = INT64_MAX if field.maximum is None else field.maximum
                yield name, self._asks_event(field.name), (low, high) if field.type == "int" else field.type
        by_name = {one.name: one for one in self.policy.features}
        for at, feature_name in enumerate(self._program.feature_names):
            feature = by_name[feature_name]
            if f"features.{feature_name}" in read and feature.aggregate != "value":  # those follow the event's fields
                yield f"features.{feature_name}", self._asks_feature(at), _bounds(feature)
        for at, signal in enumerate(self.policy.signals):
            if f"signals.{signal.name}" in read:
                yield f"signals.{signal.name}", self._asks_signal(at), (signal.minimum, signal.maximum)

    def _asks_event(self, name: str) -> Callable[[Any], str]:
        def ask(value: Any) -> str:
            event = msgspec.structs.replace(self._event, **{name: value})
            of_event = self._program.derive(event)[3]  # the features that are values of the event
            return self._action(event, of_event + self._features[len(of_event) :], self._signals)

        return ask

    def _asks_feature(self, at: int) -> Callable[[Any], str]:
        return lambda value: self._action(self._event, _with(self._features, at, value), self._signals)

    def _asks_signal(self, at: int) -> Callable[[Any], str]:
        return lambda value: self._action(self._event, self._features, _with(self._signals, at, value))

    def _action(self, event: Any, features: tuple[int | None, ...], signals: tuple[int | None, ...]) -> str:
        program = self._program
        found = program.decide(program.fires(event, features, signals), event, features, signals).action
        return ACTIONS[max(RANK[found], self._least)]

    def _named(self, names: Iterable[str], values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
        return zip(names, values, strict=True)


def _search(
    ask: Callable[[int], str], action: str, value: int | None, low: int, high: int, hints: Iterable[int]
) -> int | None:
    """The nearest value within the bounds that leads to another action; where it was unknown, nearest to zero."""
    start = min(max(0, low), high) if value is None else value
    if value is None and ask(start) != action:
        return start
    found = [one for way in (-1, 1) if (one := _one_way(ask, action, start, way, low, high, hints)) is not None]
    return min(found, key=lambda one: (abs(one - start), one), default=None)


def _one_way(
    ask: Callable[[int], str], action: str, start: int, way: int, low: int, high: int, hints: Iterable[int]
) -> int | None:
    furthest = (high - start) if way > 0 else (start - low)  # a distance
    distances = set(range(1, min(NEAR, furthest) + 1)) | {furthest}
    distances.update(1 << power for power in range(64) if 1 << power < furthest)
    for hint in hints:
        distances.update(way * (hint + by - start) for by in (-1, 0, 1))
    last = 0
    for distance in sorted(one for one in distances if 0 < one <= furthest):
        if ask(start + way * distance) != action:
            return start + way * _halved(lambda at: ask(start + way * at) != action, last, distance)
        last = distance
    return None


def _halved(is_other: Callable[[int], bool], near: int, far: int) -> int:
    """A distance at which the action is another and one step before it is not."""
    while far - near > 1:
        middle = (near + far) // 2
        if is_other(middle):
            far = middle
        else:
            near = middle
    return far


def _bounds(feature: Feature) -> tuple[int, int]:
    if feature.aggregate == "distinct":
        return 0, feature.max_distinct
    if feature.aggregate == "ratio":
        return -RATIO_MAX_BP, RATIO_MAX_BP
    return (0 if feature.aggregate in _NEVER_NEGATIVE else INT64_MIN), INT64_MAX


def _expressions(policy: Policy) -> Iterator[Expression]:
    """Everything a decision depends on, but for what only history is made of."""
    yield from (one.when for one in policy.rules)
    yield from (one.value for one in (policy.trust.alignment, policy.trust.risk, policy.trust.band))
    yield from (one.of for one in policy.features if one.aggregate == "value" and one.of is not None)


def _nodes(trees: Iterable[Any]) -> Iterator[Any]:
    pending = list(trees)
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.args)


def _numbers(trees: Iterable[Any]) -> list[int]:
    """The whole numbers that stand in checked expressions."""
    found = {one.value for one in _nodes(trees) if one.op == "literal" and type(one.value) is int}
    return sorted(found)


def _texts(trees: Iterable[Any]) -> dict[str, list[str]]:
    """Variable -> the texts it is held against."""
    found: dict[str, set[str]] = {}
    for node in _nodes(trees):
        for variable in node.args:
            if variable.op == "variable" and str(variable.type) == "string":
                literals = (
                    one.value for one in _nodes(node.args) if one.op == "literal" and isinstance(one.value, str)
                )
                found.setdefault(str(variable.value), set()).update(literals)
    return {name: sorted(texts) for name, texts in found.items()}


def _with(values: tuple[int | None, ...], at: int, value: int) -> tuple[int | None, ...]:
    return (*values[:at], value, *values[at + 1 :])
