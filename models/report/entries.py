"""What a report reads of an entry: of each kind the fields that are counted, and nothing else.

Kinds and sorts of reason that are not known here belong to another release; a report counts them by their name.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

Action = Literal["allow", "monitor", "review", "block"]
BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what the report can write down again


class Decision(msgspec.Struct, tag_field="kind", tag="decision", gc=False):
    """One event, decided. What many decisions say alike stays as it stands, to be read once for all of them."""

    at: Whole
    policy: str
    action: Action
    tier: Literal["pass", "monitor", "review", "block"]
    trust_bp: BasisPoints
    score_bp: BasisPoints
    reasons: msgspec.Raw
    flags: msgspec.Raw
    signals: msgspec.Raw
    budget: msgspec.Raw = msgspec.Raw(b"null")


class Duplicate(msgspec.Struct, tag_field="kind", tag="duplicate"):
    """An event decided before."""

    at: Whole
    policy: str


class Rejected(msgspec.Struct, tag_field="kind", tag="rejected"):
    """An input that cannot be decided."""

    policy: str
    reason: str


class Settlement(msgspec.Struct, tag_field="kind", tag="settlement"):
    """An outcome that settles a decision."""

    at: Whole
    policy: str
    label: Literal["good", "bad"] | None
    cost_minor: Whole | None
    budget: msgspec.Raw = msgspec.Raw(b"null")


class RefusedOutcome(msgspec.Struct, tag_field="kind", tag="refused-outcome"):
    """An outcome that settles nothing."""

    at: Whole | None
    policy: str
    reason: str


class Moved(msgspec.Struct):
    """What is moved between two partitions."""

    account: str
    unit: str


class Debit(msgspec.Struct, tag_field="kind", tag="debit"):
    """Another partition was given a part of an account."""

    policy: str
    transfer: Moved
    amount: Whole


class Credit(msgspec.Struct, tag_field="kind", tag="credit"):
    """Another partition gave a part of an account."""

    policy: str
    transfer: Moved
    amount: Whole
    lapsed: Whole


class Policy(msgspec.Struct, tag_field="kind", tag="policy"):
    """Another policy is in force."""

    seq: Whole
    at: Whole
    policy: str
    previous: str
    by: str

    def listed(self) -> dict[str, Any]:
        """Its fields, as a report lists them."""
        return {"at": self.at, "by": self.by, "previous": self.previous}


class List(msgspec.Struct, tag_field="kind", tag="list", rename={"list_ref": "list"}):
    """Other rows of a list are asked."""

    seq: Whole
    at: Whole
    policy: str
    list_ref: str
    rows: Whole
    replaces: str | None
    by: str

    def listed(self) -> dict[str, Any]:
        """Its fields, as a report lists them."""
        place = {"list": self.list_ref, "rows": self.rows, "previous": self.replaces}
        return {"at": self.at, "by": self.by, **place}


class Gap(msgspec.Struct, tag_field="kind", tag="gap", rename={"from_": "from"}):
    """A person went on although inputs are gone."""

    seq: Whole
    at: Whole
    policy: str
    topic: str
    from_: Whole
    to: Whole
    by: str
    why: str

    def listed(self) -> dict[str, Any]:
        """Its fields, as a report lists them."""
        place = {"topic": self.topic, "from": self.from_, "to": self.to}
        return {"at": self.at, "by": self.by, "why": self.why, **place}


class Epoch(msgspec.Struct, tag_field="kind", tag="epoch"):
    """A person began the chain anew."""

    seq: Whole
    at: Whole
    policy: str
    by: str
    why: str

    def listed(self) -> dict[str, Any]:
        """Its fields, as a report lists them."""
        return {"at": self.at, "by": self.by, "why": self.why}


class Common(msgspec.Struct):
    """What an entry of any release has."""

    kind: str


class Used(msgspec.Struct):
    """What a signal said at its use, or why it said nothing."""

    value: Whole | None = None
    model: str = ""
    as_of: Whole = 0
    unknown: str | None = None


Other = Duplicate | Rejected | Settlement | RefusedOutcome | Debit | Credit | Policy | List | Gap | Epoch
OWN_TIME: Final = (Duplicate, Settlement, RefusedOutcome)
KNOWN: Final = {
    "decision",
    "duplicate",
    "rejected",
    "settlement",
    "refused-outcome",
    "debit",
    "credit",
    "policy",
    "list",
    "gap",
    "epoch",
}
LENGTHS: Final = {"rule": 3, "typology": 4, "trust": 3, "budget": 4, "governance": 4}  # of each sort of reason
decode = msgspec.json.Decoder(Decision | Other).decode
decode_common = msgspec.json.Decoder(Common).decode
reasons_of = msgspec.json.Decoder(list[list[Any]]).decode
flags_of = msgspec.json.Decoder(list[str]).decode
signals_of = msgspec.json.Decoder(dict[str, Used]).decode


def is_reason(one: Sequence[Any]) -> bool:
    """Whether a reason has a sort and, where the sort is known here, that sort's form."""
    if not one or not isinstance(one[0], str):
        return False
    if one[0] not in LENGTHS:
        return True
    is_named = len(one) == LENGTHS[one[0]] and isinstance(one[1], str)
    return is_named and (one[0] == "rule" or isinstance(one[-1], str))
