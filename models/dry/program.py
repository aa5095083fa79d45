"""A policy, compiled: what runs once per event.

Everything the pack wrote as CEL becomes one code object per question (what to aggregate, which rules fire, what the
trust gate is asked), built from checked syntax trees, never from text. Which rules fired is one integer, bit i for rule
i, so everything that follows from it (points, typologies, reasons) is computed once per distinct set and remembered.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models.cel import HELPERS, Expression, lower
from sidechain.models.dry.parse import Parse, parser
from sidechain.models.dry.trust import clamp, judge
from sidechain.models.dry.windows import Step, step
from sidechain.models.policy import ACTIONS, Budgeting, Feature, Governing, Policy, Rule, Trust

REQUEST: Final = ("is_complex", "entropy", "is_emergency", "attempt", "quality", "consumed")  # of Governing
RANK: Final = {action: rank for rank, action in enumerate(ACTIONS)}
TIER_RANK: Final = {"pass": 0, "monitor": 1, "review": 2, "block": 3}
SCORE_MAX_BP: Final = 10_000
MEMO_LIMIT: Final = 65_536  # remembered outcomes; a full memory is emptied, which changes speed only


class SignalValue(NamedTuple):
    """The latest the wet side said about a key, as the shell read it."""

    value: int
    model: str
    as_of: int  # event time of what was scored, ms
    offset: int  # in the partition of the metadata topic that twins the event's


class UnknownSignal(NamedTuple):
    """Only in replay: the entry says that no signal was known, and of each why."""

    reasons: Mapping[str, str]  # signal -> absent, stale, future or bounds


class SealedSignals(NamedTuple):
    """Only in a back-test: what an entry records of each signal. One that its policy did not ask for is absent."""

    by_name: Mapping[str, SignalValue | UnknownSignal]


class Fired(NamedTuple):
    """What follows from one set of fired rules."""

    score_bp: int
    rank: int  # of the strictest action the rules and typologies demand
    settled: bool  # an `allow` rule fired: the trust gate is not asked for more
    reasons: tuple[Any, ...]


class Outcome(NamedTuple):
    """The decision, before it is written down."""

    action: str
    tier: str
    trust_bp: int
    trust_inputs_bp: tuple[int, int, int]
    score_bp: int
    reasons: tuple[Any, ...]


class Program:
    """The compiled policy. It holds no state of any key: `Fold` does."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.ref = policy.ref
        self.parse: Parse = parser(policy.event)
        values = [one for one in policy.features if one.aggregate == "value"]
        windowed = [one for one in policy.features if one.aggregate != "value"]
        by_key = [one for one in windowed if one.scope == "key"]
        by_partition = [one for one in windowed if one.scope == "partition"]
        self.key_steps: tuple[Step, ...] = tuple(step(one) for one in by_key)
        self.partition_steps: tuple[Step, ...] = tuple(step(one) for one in by_partition)
        self.key_plan = tuple(definition(one) for one in by_key)
        self.partition_plan = tuple(definition(one) for one in by_partition)
        ordered = [*values, *by_key, *by_partition]
        self.feature_names = tuple(one.name for one in ordered)
        self.features_type = _record("Features", self.feature_names, int | None)
        self.signal_names = tuple(one.name for one in policy.signals)
        self.signals_type = msgspec.defstruct(
            "Signals", [(name, Any) for name in self.signal_names], frozen=True, gc=False
        )
        self._panes = sorted({(one.window_ms // one.panes, one.panes) for one in windowed if one.window_ms})
        self._never_late_ms = min((pane_ms * (panes - 1) for pane_ms, panes in self._panes), default=0)
        # Lists are names of their own that compiled code looks up: a new version is one assignment.
        self._names: dict[str, Any] = {
            "__builtins__": {},
            **HELPERS,
            **{_list_name(one.name): None for one in policy.lists},
        }
        self.derive = self._compile_derive(values, by_key, by_partition)
        # None: every signal is about the event's key.
        self.subjects = self._compile_subjects() if any(one.of for one in policy.signals) else None
        self.fires = self._compile_fires(policy.rules)
        self._trust_inputs = self._compile_trust(policy.trust)
        self.wants = None if policy.budgeting is None else self._compile_wants(policy.budgeting)
        governing = None if policy.budgeting is None else policy.budgeting.governing
        self.requests = None if governing is None else self._compile_requests(governing)
        self._fired: dict[int, Fired] = {}
        self._outcomes: dict[tuple[int, int, int, int], Outcome] = {}

    def decide(
        self, mask: int, event: Any, features: tuple[int | None, ...], signals: tuple[int | None, ...]
    ) -> Outcome:
        """The outcome for one event, given which rules fired."""
        fired = self._fired.get(mask)
        if fired is None:
            fired = self._fired[mask] = fired_outcome(self.policy, mask)
        inputs = self._trust_inputs(event, features, signals, fired.score_bp)
        outcome = self._outcomes.get((mask, *inputs))
        if outcome is None:
            if len(self._outcomes) >= MEMO_LIMIT:
                self._outcomes.clear()
                self._fired.clear()
            outcome = self._outcomes[(mask, *inputs)] = conclude(self.policy.trust, fired, *inputs)
        return outcome

    def use_rows(self, name: str, rows: Any) -> None:
        """From here on `lists.<name>` has these rows, a mapping; None: it is unknown."""
        self._names[_list_name(name)] = rows

    def is_late(self, at_ms: int, watermark_ms: int) -> bool:
        """Whether some window that has reached the watermark no longer counts an event of `at_ms`."""
        if watermark_ms - at_ms < self._never_late_ms:
            return False
        return any(watermark_ms // pane_ms - at_ms // pane_ms >= panes for pane_ms, panes in self._panes)

    def _compile_derive(
        self, values: Sequence[Feature], by_key: Sequence[Feature], by_partition: Sequence[Feature]
    ) -> Callable[[Any], Any]:
        """event -> (id, key, time, values, (where, of) of the key's steps, (where, of) of the partition's)."""
        schema = self.policy.event
        build = _Function("derive", ("event",), {}, self._names)
        build.returns(
            ast.Tuple(
                [
                    *(_attribute(schema.role(role).name) for role in ("id", "key", "time")),
                    build.tuple_of([one.of for one in values]),
                    build.tuple_of([one.where for one in by_key]),
                    build.tuple_of([one.of for one in by_key], absent=1),
                    build.tuple_of([one.where for one in by_partition]),
                    build.tuple_of([one.of for one in by_partition], absent=1),
                ],
                ast.Load(),
            )
        )
        return build.compiled()

    def _compile_subjects(self) -> Callable[[Any], tuple[str | None, ...]]:
        """event -> what each signal is about, in the order of the policy; None where `of` is unknown or not given."""
        build = _Function("subjects", ("event",), {}, self._names)
        build.returns(build.tuple_of([one.of for one in self.policy.signals], absent=None))
        return build.compiled()

    def _compile_fires(self, rules: Sequence[Rule]) -> Callable[[Any, Any, Any], int]:
        """event, features, signals -> bit mask of the rules that fired; an `allow` rule ends the list."""
        build = self._function("fires", ("event", "features", "signals"), [one.when for one in rules])
        build.body.append(ast.Assign([_store("fired")], ast.Constant(0)))
        for index, rule in enumerate(rules):
            bit = ast.AugAssign(_store("fired"), ast.BitOr(), ast.Constant(1 << index))
            then: list[ast.stmt] = [bit, ast.Return(_name("fired"))] if rule.then == "allow" else [bit]
            build.body.append(ast.If(build.lowered(rule.when), then, []))  # unknown is None, and None does not fire
        build.returns(_name("fired"))
        return build.compiled()

    def _compile_trust(self, trust: Trust) -> Callable[[Any, Any, Any, int], tuple[int, int, int]]:
        inputs = (trust.alignment, trust.risk, trust.band)
        build = self._function(
            "trust_inputs", ("event", "features", "signals", "score_bp"), [one.value for one in inputs]
        )
        parts: list[ast.expr] = []
        for one in inputs:
            value = build.lowered(one.value)
            if one.value.unknown:
                name = next(build.temporaries)
                known = ast.NamedExpr(_store(name), value)
                is_unknown = ast.Compare(known, [ast.Is()], [ast.Constant(None)])
                value = ast.IfExp(is_unknown, ast.Constant(one.unknown_bp), _name(name))
            parts.append(value)
        build.returns(ast.Tuple(parts, ast.Load()))
        return build.compiled()

    def _compile_wants(self, budgeting: Budgeting) -> Callable[[Any, Any, Any, int], Any]:
        """event, features, signals, score_bp -> for each reserve whether it applies, its amount; for each key its text.

        Unknown is None.
        """
        whens, amounts = [one.when for one in budgeting.reserves], [one.amount for one in budgeting.reserves]
        keys = list(budgeting.keys.values())
        reads = [one for one in (*whens, *amounts, *keys) if one is not None]
        build = self._function("wants", ("event", "features", "signals", "score_bp"), reads)
        build.returns(ast.Tuple([build.tuple_of(whens), build.tuple_of(amounts), build.tuple_of(keys)], ast.Load()))
        return build.compiled()

    def _compile_requests(self, governing: Governing) -> Callable[[Any, Any, Any, int], Any]:
        """event, features, signals, score_bp -> what is said of a request, in REQUEST's order, and of its scenario.

        Unknown is None; so is what the policy does not ask for.
        """
        asked = [getattr(governing, name) for name in REQUEST]
        reads = [one for one in (*asked, *governing.scenario) if one is not None]
        build = self._function("requests", ("event", "features", "signals", "score_bp"), reads)
        said, scenario = build.tuple_of(asked, absent=None), build.tuple_of(list(governing.scenario))
        build.returns(ast.Tuple([said, scenario], ast.Load()))
        return build.compiled()

    def _function(self, name: str, parameters: tuple[str, ...], reads: Sequence[Expression]) -> "_Function":
        """A function whose features and signals are unpacked into locals, only those that are read."""
        wanted = {variable for one in reads for variable in one.variables}
        places: dict[str, tuple[str, int]] = {}
        places.update({f"features.{one}": ("features", at) for at, one in enumerate(self.feature_names)})
        places.update({f"signals.{one}": ("signals", at) for at, one in enumerate(self.signal_names)})
        local = {variable: variable.replace(".", "_") for variable in sorted(wanted) if variable in places}
        build = _Function(name, parameters, local, self._names)
        for variable, target in local.items():
            source, at = places[variable]
            item = ast.Subscript(_name(source), ast.Constant(at), ast.Load())
            build.body.append(ast.Assign([_store(target)], item))
        return build


def definition(feature: Feature) -> str:
    """What a slot's content depends on: two features with the same definition can hand it over."""
    of = feature.of.source if feature.of else ""
    where = feature.where.source if feature.where else ""
    limit = feature.max_distinct if feature.aggregate == "distinct" else 0
    return f"{feature.aggregate}|{feature.window_ms}|{feature.panes}|{limit}|{feature.scope}|{of}|{where}"


def fired_outcome(policy: Policy, mask: int) -> Fired:
    """Points, typologies and the strictest demand of one set of fired rules."""
    rules = [rule for index, rule in enumerate(policy.rules) if mask >> index & 1]
    reasons: list[Any] = [("rule", rule.id, rule.points_bp) for rule in rules]
    rank = max((RANK.get(rule.then, 0) for rule in rules), default=0)
    ids = {rule.id for rule in rules}
    for typology in policy.typologies:
        score = sum(weight for rule_id, weight in typology.weights.items() if rule_id in ids)
        then = None
        if typology.block_at is not None and score >= typology.block_at:
            then = "block"
        elif score >= typology.review_at:
            then = "review"
        if then is not None:
            reasons.append(("typology", typology.id, score, then))
            rank = max(rank, RANK[then])
    score_bp = min(sum(rule.points_bp for rule in rules), SCORE_MAX_BP)
    return Fired(score_bp, rank, any(rule.then == "allow" for rule in rules), tuple(reasons))


def conclude(trust: Trust, fired: Fired, alignment_bp: int, risk_bp: int, band_bp: int) -> Outcome:
    """Rules and trust gate together: the strictest demand wins, except that an `allow` rule silences the gate."""
    verdict = judge(trust, alignment_bp, risk_bp, band_bp)
    rank, reasons = fired.rank, list(fired.reasons)
    if not fired.settled:
        rank = max(rank, TIER_RANK[verdict.tier])
        for name, raised, then in (
            ("floor", verdict.below_floor, trust.floor_then),
            ("entropy", verdict.entropy, trust.entropy_then),
        ):
            if raised:
                reasons.append(("trust", name, then))
                rank = max(rank, RANK.get(then, 0))
    inputs = (clamp(alignment_bp), clamp(risk_bp), clamp(band_bp))
    return Outcome(ACTIONS[rank], verdict.tier, verdict.trust_bp, inputs, fired.score_bp, tuple(reasons))


class _Function:
    """A Python function under construction, one syntax node at a time."""

    def __init__(self, name: str, parameters: tuple[str, ...], local: Mapping[str, str], names: dict[str, Any]) -> None:
        self.name = name
        self.parameters = parameters
        self.local = local  # dotted variable -> local name
        self.names = names  # what its code can call, and the lists
        self.body: list[ast.stmt] = []
        self.temporaries: Iterator[str] = (f"t{number}" for number in count())

    def access(self, variable: str) -> ast.expr:
        if variable.startswith("event."):
            return _attribute(variable.removeprefix("event."))
        if variable.startswith("lists."):
            return _name(_list_name(variable.removeprefix("lists.")))
        return _name(self.local.get(variable, variable))

    def lowered(self, expression: Expression) -> ast.expr:
        return lower(expression, self.access, self.temporaries)

    def tuple_of(self, expressions: Sequence[Expression | None], absent: int | None = True) -> ast.Tuple:
        return ast.Tuple(
            [ast.Constant(absent) if one is None else self.lowered(one) for one in expressions], ast.Load()
        )

    def returns(self, value: ast.expr) -> None:
        self.body.append(ast.Return(value))

    def compiled(self) -> Callable[..., Any]:
        arguments = ast.arguments([], [ast.arg(one) for one in self.parameters], None, [], [], None, [])
        function = ast.FunctionDef(self.name, arguments, self.body, [], None)
        module = ast.fix_missing_locations(ast.Module([function], []))
        found: dict[str, Any] = {}
        exec(compile(module, f"<policy {self.name}>", "exec"), self.names, found)  # noqa: S102 - a tree of our own nodes
        return found[self.name]  # type: ignore[no-any-return]


def _list_name(name: str) -> str:
    return f"lists_{name}"


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _attribute(field: str) -> ast.expr:
    return ast.Attribute(_name("event"), field, ast.Load())


def _record(name: str, fields: Sequence[str], kind: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, [(field, kind) for field in fields], frozen=True, gc=False)
