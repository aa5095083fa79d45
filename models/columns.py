"""Sealed entries as the columns of a table: which there are, of what type, and what an entry has in each.

    named = Named()
    named.see(line)                    # every line once, before the first is written: the columns are known then
    columns = named.columns()
    [column.of(row) for column in columns]        # row = Row(partition, epoch, entry)

Fields of an entry keep their names. A feature `gap` is the column `feature_gap`; a signal `risk` is `signal_risk`, and
`signal_risk__unknown` says why there is no value. Nothing is here that the chain does not hold.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from sidechain.models.budget_columns import Int64, Spending, Transfer, rows_of

COLUMNS_MAX: Final = 2_000

# `name`: a text of few different values; `time`: ms since 1970, UTC.
Type = Literal["int32", "int64", "text", "name", "time", "names", "reasons", "reserved", "closed", "refused"]

BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Entry(msgspec.Struct, rename={"list_": "list"}):
    """What is read of an entry of any kind; None for what its kind has not."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    kind: str
    hash: str
    policy: str
    id: str | None = None
    key: str | None = None
    at: Int64 | None = None
    source: tuple[str, int, Int64] | None = None
    action: str | None = None
    tier: str | None = None
    trust_bp: BasisPoints | None = None
    trust_inputs_bp: tuple[BasisPoints, BasisPoints, BasisPoints] | None = None
    score_bp: BasisPoints | None = None
    reasons: list[Annotated[list[str | Int64 | None], msgspec.Meta(min_length=2)]] | None = None
    flags: list[str] | None = None
    features: dict[str, Int64 | None] = {}
    signals: dict[str, "Used"] = {}
    lists: dict[str, str | None] = {}
    first: Int64 | None = None
    settles: Int64 | None = None
    label: str | None = None
    cost_minor: Int64 | None = None
    list_: str | None = None
    rows: Int64 | None = None
    reason: str | None = None
    field: str | None = None
    length: Int64 | None = None
    previous: str | None = None
    by: str | None = None
    why: str | None = None
    budget: Spending | None = None
    transfer: Transfer | None = None
    amount: Int64 | None = None
    lapsed: Int64 | None = None
    accounts_from: Int64 | None = None


class Used(msgspec.Struct):
    """What a signal said at its use."""

    value: Int64 | None = None
    model: str | None = None
    as_of: Int64 | None = None
    unknown: str | None = None


UNSAID: Final = Used()


class Row(NamedTuple):
    """One entry and where it stands."""

    partition: int
    epoch: int
    entry: Entry


class Column(NamedTuple):
    """One column."""

    name: str
    type: Type
    of: Callable[[Row], Any]


def _field(name: str, type_: Type) -> Column:
    return Column(name, type_, lambda row: getattr(row.entry, name))


def _part(name: str, type_: Type, field: str, index: int) -> Column:
    """One part of a field that is a list."""

    def of(row: Row) -> Any:
        parts = getattr(row.entry, field)
        return None if parts is None else parts[index]

    return Column(name, type_, of)


def _inside(name: str, type_: Type, path: str, field: str) -> Column:
    """A field of what an entry holds inside, where it holds that."""
    steps = path.split(".")

    def of(row: Row) -> Any:
        found: Any = row.entry
        for step in steps:
            found = None if found is None else getattr(found, step)
        return None if found is None else getattr(found, field)

    return Column(name, type_, of)


def _spending(name: Literal["reserved", "closed", "refused"]) -> Column:
    return Column(name, name, lambda row: rows_of(name, row.entry.budget))


COMMON: Final = (
    Column("partition", "int32", lambda row: row.partition),
    Column("epoch", "int32", lambda row: row.epoch),
    _field("seq", "int64"),
    _field("kind", "name"),
    _field("id", "text"),
    _field("key", "text"),
    _field("at", "time"),
    _part("source_topic", "name", "source", 0),
    _part("source_offset", "int64", "source", 2),
    _field("policy", "name"),
    _field("action", "name"),
    _field("tier", "name"),
    _field("trust_bp", "int32"),
    _part("alignment_bp", "int32", "trust_inputs_bp", 0),
    _part("risk_bp", "int32", "trust_inputs_bp", 1),
    _part("band_bp", "int32", "trust_inputs_bp", 2),
    _field("score_bp", "int32"),
    Column("reasons", "reasons", lambda row: _reasons(row.entry.reasons)),
    _field("flags", "names"),
    Column("lists", "names", lambda row: [one for one in row.entry.lists.values() if one is not None]),
    _field("first", "int64"),
    _field("settles", "int64"),
    _field("label", "name"),
    _field("cost_minor", "int64"),
    Column("list", "name", lambda row: row.entry.list_),
    _field("rows", "int64"),
    _field("reason", "name"),
    _field("field", "name"),
    _field("length", "int64"),
    _field("previous", "name"),
    _field("by", "name"),
    _field("why", "text"),
    *(_spending(name) for name in ("reserved", "closed", "refused")),
    _inside("expires", "time", "budget.reserved", "expires_ms"),
    *(_inside(f"governed_{one}", "name", "budget.governed", one) for one in ("answer", "why", "level")),
    _inside("governed_cost", "int64", "budget.governed", "cost"),
    _inside("tripwire_event", "name", "budget.governed", "event"),
    *(_inside(f"transfer_{one}", "name", "transfer", one) for one in ("account", "unit")),
    _inside("transfer_key", "text", "transfer", "key"),
    *(_inside(f"transfer_{one}", "int64", "transfer", one) for one in ("source", "epoch", "seq")),
    *(_inside(f"transfer_{one}", "time", "transfer", f"{one}_ms") for one in ("from", "until")),
    _inside("transfer_amount", "int64", "transfer", "amount"),
    _field("amount", "int64"),
    _field("lapsed", "int64"),
    _field("accounts_from", "time"),
    _field("hash", "text"),
)


class Named:
    """Which features and signals the entries of a log have: a matter of their policies."""

    def __init__(self) -> None:
        self.features: dict[str, None] = {}
        self.signals: dict[str, None] = {}
        self._seen: set[str] = set()

    def see(self, line: bytes) -> None:
        """Look at an entry. Whatever is none has no columns. Raises ValueError for more than `COLUMNS_MAX`."""
        try:
            head = _decode_head(line)
        except (ValueError, RecursionError):
            return
        if head.kind != "decision" or head.policy in self._seen:
            return
        entry = read(line)
        if entry is None:
            return
        self._seen.add(head.policy)
        self.features |= dict.fromkeys(entry.features)
        self.signals |= dict.fromkeys(entry.signals)
        if len(self.features) + len(self.signals) > COLUMNS_MAX:
            raise ValueError(f"the entries have more than {COLUMNS_MAX:,} features and signals")

    def columns(self) -> list[Column]:
        """All columns; those of features and signals in the order of their names, so that files are alike."""
        found = [*COMMON, *map(_feature, sorted(self.features))]
        for name in sorted(self.signals):
            found += _signal(name)
        return found


def read(line: bytes) -> Entry | None:
    """The entry in a line; None where there is none, or one of no form of ours."""
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        return None


def _feature(name: str) -> Column:
    return Column(f"feature_{name}", "int64", lambda row: row.entry.features.get(name))


def _signal(name: str) -> list[Column]:
    def used(row: Row) -> Used:
        return row.entry.signals.get(name, UNSAID)

    return [
        Column(f"signal_{name}", "int64", lambda row: used(row).value),
        Column(f"signal_{name}__unknown", "name", lambda row: used(row).unknown),
        Column(f"signal_{name}__model", "name", lambda row: used(row).model),
        Column(f"signal_{name}__as_of", "time", lambda row: used(row).as_of),
    ]


def _reasons(reasons: list[list[str | int | None]] | None) -> list[dict[str, Any]] | None:
    """`["rule",id,points]`, `["typology",id,score,asks]`, `["trust",mark,asks]`, each with the same four names."""
    if reasons is None:
        return None
    return [
        {
            "sort": one[0],
            "id": one[1],
            "value": next((part for part in one if isinstance(part, int)), None),
            "asks": one[-1] if len(one) > 2 and isinstance(one[-1], str) else None,
        }
        for one in reasons
    ]


class _Head(msgspec.Struct):
    kind: str
    policy: str


_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(Entry).decode
