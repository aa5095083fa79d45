"""What an outcome says, and whether it settles a decision of this chain.

    {"id":"door-1","at":807861600000,"label":"bad","cost_minor":1250,"partition":0,"seq":0,"by":"claims"}

A decision has two things to be settled: its label and its cost. Each is settled once, together or one after the other;
an outcome that states one of them again is refused whole. What an outcome says is parsed as strictly as an event.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

from sidechain.models.dry.budget import Spending
from sidechain.models.dry.entry import RefusedOutcome, Settlement
from sidechain.models.dry.parse import Rejection, parser
from sidechain.models.dry.place import Place
from sidechain.models.dry.records import KEY_MAX_BYTES, DeadLetter, InputRecord, Misplaced, cut, dead_letter, text_of
from sidechain.models.dry.settled import COST, LABEL
from sidechain.models.dry.state import Ids
from sidechain.models.policy import EventField, EventSchema

LABELS: Final = ("good", "bad")
EXACT_MAX: Final = 2**53 - 1  # the largest integer that every reader of JSON understands the same way
PARTITION_MAX: Final = 2**31 - 1
MAX_BYTES: Final = 16_384

SCHEMA: Final = EventSchema(
    fields=(
        EventField(name="id", type="string", role="id"),
        EventField(name="key", type="string", role="key", optional=True),
        EventField(name="at", type="int", role="time"),
        EventField(name="label", type="string", optional=True),
        EventField(name="cost_minor", type="int", optional=True, minimum=0, maximum=EXACT_MAX),
        EventField(name="partition", type="int", optional=True, minimum=0, maximum=PARTITION_MAX),
        EventField(name="seq", type="int", optional=True, minimum=0, maximum=EXACT_MAX),
        EventField(name="by", type="string", optional=True, max_length=256),
    ),
    max_bytes=MAX_BYTES,
)

Verdict = Literal[
    "nothing-stated",  # neither a label nor a cost
    "wrong-partition",  # it names another partition
    "unknown-decision",  # no decision with this id is remembered here
    "too-late",  # the decision it names lies before the horizon
    "other-decision",  # the id was decided here, by another entry than the one it names
    "already-settled",
]
VERDICTS: Final[tuple[Verdict, ...]] = (
    "nothing-stated",
    "wrong-partition",
    "unknown-decision",
    "too-late",
    "other-decision",
    "already-settled",
)

_parse: Final = parser(SCHEMA)


# seq of a decision, its cost, its label -> what that did to accounts
Spend = Callable[[int, int | None, str | None], Spending | None]


def nothing_spent(_decision: int, _cost: int | None, _label: str | None) -> None:
    """There are no accounts."""


class Judged(NamedTuple):
    """What one outcome record leads to. The entry of a settlement is already noted in the ids."""

    key: bytes | None
    entry: Settlement | RefusedOutcome
    dead_letter: DeadLetter | None = None
    misplaced: Misplaced | None = None


class Ruling(NamedTuple):
    """What becomes of an outcome that can be understood."""

    decision: int | None  # seq of the decision it settles
    facts: int = 0  # what it settles of it
    reason: Verdict | None = None  # why it settles nothing


def read_outcome(value: bytes | None) -> Any:
    """The outcome a record holds, one attribute for each field of SCHEMA; or a `Rejection`. Raises on no bytes."""
    outcome = _parse(value)
    if outcome.__class__ is not Rejection and outcome.label not in (None, *LABELS):
        return Rejection("out-of-bounds", "label")
    return outcome


def rule(outcome: Any, partition: int, ids: Ids, seq: int) -> Ruling:
    """Whether the outcome settles a decision of this partition, as of entry `seq`, which will say so."""
    facts = (outcome.label is not None) * LABEL | (outcome.cost_minor is not None) * COST
    if not facts:
        return Ruling(None, reason="nothing-stated")
    if outcome.partition not in (None, partition):
        return Ruling(None, reason="wrong-partition")
    _, decision = ids.first(outcome.id, seq)
    if decision is None:
        is_past = outcome.seq is not None and outcome.seq < seq and ids.is_past(outcome.seq, seq)
        return Ruling(None, reason="too-late" if is_past else "unknown-decision")
    if outcome.seq not in (None, decision):
        return Ruling(None, reason="other-decision")
    if ids.facts(decision) & facts:
        return Ruling(None, reason="already-settled")
    return Ruling(decision, facts)


def judge(record: InputRecord, place: Place, ids: Ids, spend: Spend = nothing_spent) -> Judged:
    """The entry of one outcome record, and what goes with it. `spend`: asked when it settles a decision."""
    outcome = read_outcome(record.value)
    digest = None if record.value is None else sha256(record.value).hexdigest()
    source = "outcomes", place.partition, record.offset
    length = len(record.value or b"")
    if outcome.__class__ is Rejection:
        opening = place.opening("refused-outcome", source, digest, key=text_of(record.key))
        nothing = (None, None), None, None, None
        unread = RefusedOutcome(*opening, outcome.reason, outcome.field, length, *nothing)
        letter = dead_letter(record, "outcomes", place.partition, outcome, digest)
        return Judged(cut(record.key, KEY_MAX_BYTES), unread, dead_letter=letter)
    ruling = rule(outcome, place.partition, ids, place.seq)
    key = cut(record.key if outcome.key is None else outcome.key.encode(), KEY_MAX_BYTES)
    told = text_of(record.key) if outcome.key is None else outcome.key
    says = outcome.label, outcome.cost_minor, outcome.by
    if ruling.decision is not None:
        ids.settle(ruling.decision, ruling.facts)
        opening = place.opening("settlement", source, digest, identifier=outcome.id, key=told, at_ms=outcome.at)
        spending = spend(ruling.decision, outcome.cost_minor, outcome.label)
        return Judged(key, Settlement(*opening, ruling.decision, *says, spending))
    opening = place.opening("refused-outcome", source, digest, identifier=outcome.id, key=told, at_ms=outcome.at)
    named = outcome.partition, outcome.seq
    refused = RefusedOutcome(*opening, str(ruling.reason), None, length, named, *says)
    misplaced = Misplaced(outcome.partition, record) if ruling.reason == "wrong-partition" else None
    return Judged(key, refused, misplaced=misplaced)
