"""What a loaded policy is: frozen data, already type-checked, nothing to run.

A *pack* is the YAML file; a *policy* is one version of it, named by the digest of the file's bytes, so anybody can
check the name with `sha256sum`. `pack_file.load` makes a `Policy` out of a pack, `dry.program` compiles it.
Proportions are basis points (0..10000), times and durations integer milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sidechain.models.cel import Expression

if TYPE_CHECKING:
    from sidechain.models.dry.budget import BudgetPlan  # which is part of what compiles a policy
    from sidechain.models.dry.governance import Governance

FieldType = Literal["string", "int", "double", "bool", "list<string>"]
Role = Literal["id", "key", "time"]
Aggregate = Literal["count", "sum", "min", "max", "distinct", "mean", "deviation", "ratio", "gap", "value"]
Scope = Literal["key", "partition"]
Effect = Literal["block", "review", "monitor", "allow", "note"]
Then = Literal["flag", "review", "block"]
KeyType = Literal["string", "int"]
ThenRefused = Literal["block", "review", "monitor", "flag"]
Label = Literal["good", "bad"]

ACTIONS = ("allow", "monitor", "review", "block")  # from mildest to strictest; the strictest demand wins
TIERS = ("block", "review", "monitor", "pass")  # from least to most trusted


@dataclass(frozen=True, kw_only=True, slots=True)
class EventField:
    """One field of an event, as the pack declares it."""

    name: str
    type: FieldType
    role: Role | None = None
    optional: bool = False  # absent or null means unknown, never zero
    personal: bool = False  # never passes the tap in the clear
    minimum: int | None = None  # inclusive, int fields only
    maximum: int | None = None
    max_length: int = 1024  # characters of a string (or of each string of a list)
    title: str = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSchema:
    """The event, and the bounds outside of which it is rejected instead of decided."""

    fields: tuple[EventField, ...]
    unknown_fields: Literal["ignore", "refuse"] = "refuse"
    max_bytes: int = 262_144
    earliest_ms: int = 0  # an event time before this is rejected
    latest_ms: int = 4_102_444_800_000  # ... or after this (2100-01-01)
    max_step_ms: int = 3_600_000  # one event moves the partition's watermark this far at most
    duplicate_horizon: int = 65_536  # entries within which a repeated id is recognised; a multiple of 256
    stake: str | None = None  # the int field that says what is at stake in an event; only back-tests read it

    def role(self, role: Role) -> EventField:
        """The field that plays `role`; a loaded policy has exactly one of each."""
        return next(one for one in self.fields if one.role == role)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A number computed from the event and the history of its key (or of its partition)."""

    name: str
    aggregate: Aggregate
    window_ms: int = 0  # 0 for `value` and `gap`, which have no window
    panes: int = 12  # the window moves in steps of window_ms / panes
    of: Expression | None = None  # what is aggregated; None for count and gap
    where: Expression | None = None  # which events take part; None means all
    scope: Scope = "key"
    max_distinct: int = 256
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Learn:
    """How a signal is learned: the share of outcomes with one label among those known, within a moving window."""

    share: Label
    window_ms: int  # event time of the outcomes
    panes: int = 28  # the window moves in steps of window_ms / panes
    least: int = 1  # outcomes known within the window; with fewer there is no value

    @property
    def pane_ms(self) -> int:
        """What the window moves by."""
        return self.window_ms // self.panes


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """A value the wet side may supply; unknown when absent, too old, from the future or out of bounds."""

    name: str
    max_age_ms: int
    minimum: int = 0
    maximum: int = 10_000
    of: Expression | None = None  # what it is about, a text of the event; None: the event's key
    learn: Learn | None = None  # how an aggregator learns it; then entries say what it is about
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListSchema:
    """A list that rules ask; its rows come through `control`, and until they do it is unknown."""

    name: str
    key_type: KeyType = "string"
    value_type: KeyType | None = None  # None: it says only who is on it
    default: int | str | None = None  # the value of a key without a row; None: unknown
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A worked example for one rule: values for the variables its condition reads, and whether it fires."""

    fires: bool
    values: Mapping[str, Any]  # dotted variable name -> value; a missing one is unknown
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """If `when` is true, the rule fires; unknown is not true."""

    id: str
    when: Expression
    then: Effect
    points_bp: int = 0
    reason: str = ""
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Typology:
    """A weighted set of rules that describe one pattern; it interdicts at its thresholds."""

    id: str
    title: str
    weights: Mapping[str, int]  # rule id -> weight
    review_at: int
    block_at: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustInput:
    """One input of the trust gate: a CEL expression in basis points, and the value that stands in for unknown."""

    value: Expression
    unknown_bp: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """The composite trust gate. `band` is the width of the uncertainty: higher means less trust."""

    alignment: TrustInput
    risk: TrustInput
    band: TrustInput
    weights_bp: tuple[int, int, int] = (4_500, 3_500, 2_000)  # alignment, risk, band; they sum to 10000
    block_bp: int = 2_500  # upper edges, inclusive
    review_bp: int = 5_000
    monitor_bp: int = 7_500
    floor_bp: int = 6_000  # trust below it ...
    floor_then: Then = "flag"
    entropy_bp: int = 7_200  # band strictly above it ...
    entropy_then: Then = "flag"


EXPERTS = ("forest", "geometric", "heuristic", "retrieval", "consensus", "champion")  # that a pack may ask for
PANEL = EXPERTS[:-1]  # ... and gets where it names none: a champion is somebody's choice


@dataclass(frozen=True, kw_only=True, slots=True)
class Wet:
    """What the pack asks of the wet side."""

    vector: tuple[str, ...] = ()  # features the scorers see, in this order
    sample_bp: int = 10_000  # share of decisions that is tapped
    raise_at_bp: int = 8_000  # hysteresis: raised at or above ...
    clear_at_bp: int = 6_000  # ... cleared at or below
    critical_at_bp: int = 9_500
    ttl_ms: int = 3_600_000  # how long a raised risk stands without confirmation, event time
    compensate: str = "recheck"  # the request a compensation carries
    compensations_per_minute: int = 60  # the rate breaker, per partition
    warmup: int = 512  # events before the first fit
    words: Mapping[str, str] = field(default_factory=dict)  # feature -> words of the rationale
    experts: tuple[str, ...] = PANEL  # who scores; the first one is the baseline
    explain_above_bp: int = 8_000  # scores from here on carry the part every feature has in them
    groups: tuple[str, ...] = ()  # those of the vector by whose values a model card tells error rates

    @property
    def uses_outcomes(self) -> bool:
        """Whether the scorers want to hear how decisions turned out: every score is calibrated by it."""
        return bool(self.vector)


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One event field out of a raw source row."""

    field: str
    expression: Expression  # over the row's columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """How one raw format becomes events."""

    name: str
    format: Literal["csv", "tsv", "ndjson", "common-log", "combined-log"]
    columns: tuple[str, ...]  # names given to the raw columns, in order
    header: bool
    fields: tuple[Column, ...]
    label: str | None = None  # the raw column that holds the truth, where there is one
    normal: tuple[str, ...] = ()  # the label values that mean "nothing wrong"
    unknown: tuple[str, ...] = ()  # raw texts that mean "not known" instead of what they say
    times: tuple[str, ...] = ()  # columns that hold a date and a time of day; expressions read them as ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """What a decision reserves in an account, and so in all above it."""

    account: str
    amount: Expression  # an int of the account's unit; unknown and negative are refused
    when: Expression | None = None  # a bool; unknown reserves, because a budget fails closed
    actions: tuple[str, ...]  # decided otherwise, nothing is reserved
    then: ThenRefused = "block"  # what a refusal demands at least; `flag`: nothing but the record


@dataclass(frozen=True, kw_only=True, slots=True)
class Governing:
    """What a pack says of energy governance: the numbers, and what they are asked about. Unknown is never cheaper."""

    rules: "Governance"
    account: str  # its `reserve` is the base of the cost, and its use decides the level
    recovered: int = 0  # higher than in every policy before: a person ends a downgrade
    is_complex: Expression | None = None  # a bool; None: nothing is complex
    entropy: Expression | None = None  # basis points; None: there is none
    is_emergency: Expression | None = None  # a bool, false when unknown
    attempt: Expression | None = None  # an int, 1 for the first; None: there are no others
    quality: Expression | None = None  # basis points of work that is under way; None: nothing stops early
    consumed: Expression | None = None  # by it, in the account's unit
    scenario: tuple[Expression, ...] = ()  # what tells one insight from another; empty: none are kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Budgeting:
    """What a pack says of budgets."""

    plan: "BudgetPlan"
    cost_unit: str  # the unit of the cost that an outcome states; what is reserved in others is spent as reserved
    keys: Mapping[str, Expression] = field(default_factory=dict)  # account -> the text that tells its accounts apart
    reserves: tuple[Reserve, ...] = ()
    governing: Governing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """One version of one pack, ready to be compiled."""

    name: str
    version: int
    title: str
    digest: str  # SHA-256 hex of the file's bytes
    text: str  # the file itself: what is activated through `control` is the text
    event: EventSchema
    features: tuple[Feature, ...]
    signals: tuple[Signal, ...]
    rules: tuple[Rule, ...]
    typologies: tuple[Typology, ...]
    trust: Trust
    wet: Wet = field(default_factory=Wet)
    sources: tuple[Source, ...] = ()
    lists: tuple[ListSchema, ...] = ()
    max_keys: int = 1_000_000  # keys a partition remembers; the least recently seen goes first
    budgeting: Budgeting | None = None  # None: nothing is reserved, and entries say nothing of budgets

    @property
    def shares_accounts(self) -> bool:
        """Whether partitions ask one another for parts of an account."""
        return self.budgeting is not None and any(one.is_shared for one in self.budgeting.plan.accounts.values())

    @property
    def ref(self) -> str:
        """`web@3:7b1e0c92d4aa`: how entries name this policy."""
        return f"{self.name}@{self.version}:{self.digest[:12]}"
