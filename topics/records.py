"""What stands on the topics, record by record, as typed and frozen structs.

Field order is the order on the wire; the JSON is compact UTF-8. Readers ignore fields they do not know, so a field may
be added; none is removed or changes its meaning without a new topic. The event is the pack's own, and not here.
`README.md` beside this file is the contract in words, and its examples are the test vectors of this file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from sidechain.models.dry import entry
from sidechain.models.dry.budget.records import Transfer
from sidechain.models.dry.entry import Next

Action = Literal["allow", "monitor", "review", "block"]  # from mildest to strictest
Level = Literal["normal", "raised", "critical"]
Severity = Literal["page", "ticket"]  # wakes somebody, or waits for the morning
Reason = tuple[str, float]  # a feature, and how much of the score it accounts for


class PolicyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`control`: a policy is to take effect. Key: the policy's name.

    {"kind":"policy","name":"web","version":2,"digest":"<64 hex>","by":"anna","at":807256800000,"text":"pack: web\\n…"}
    """

    kind: str = "policy"
    name: str
    version: int
    digest: str  # SHA-256 of the text's bytes: what `sha256sum` says of the file
    by: str  # who activated it
    at: int  # when, by the activating person's clock, ms
    text: str  # the pack file
    proposal: str | msgspec.UnsetType = msgspec.UNSET  # the id of the one it follows, where it follows one


class RowsRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"list_name": "list"}):
    """`control`: rows of a list that a later record puts in force. Key: `<pack>/<list>`.

    {"kind":"rows","name":"doors","list":"blocked","rows":"b-17\nb-23\n"}
    """

    kind: str = "rows"
    name: str
    list_name: str
    rows: str  # lines, each a key or a key, a tab and a value, in the order of their bytes


class ListRecord(
    msgspec.Struct, frozen=True, kw_only=True, rename={"list_name": "list", "key_type": "type", "value_type": "value"}
):
    """`control`: a list is to take effect. Key: `<pack>/<list>`.

    {"kind":"list","name":"doors","list":"blocked","version":1,"digest":"<64 hex>","rows":2,"type":"string",
     "value":null,"by":"anna","at":807256900000,"chunks":[4]}
    """

    kind: str = "list"
    name: str
    list_name: str
    version: int
    digest: str  # SHA-256 over the rows of all chunks: what `LC_ALL=C sort FILE | sha256sum` says
    rows: int
    key_type: Literal["string", "int"]
    value_type: Literal["string", "int"] | None = None  # None: rows are keys alone
    by: str  # who activated it
    at: int  # when, by the activating person's clock, ms
    chunks: tuple[int, ...]  # offsets on `control` of the records of kind `rows`, in the order of the rows
    proposal: str | msgspec.UnsetType = msgspec.UNSET  # the id of the one it follows, where it follows one


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`outcomes`: what really happened to one decision, what it cost, or both. Key: the event's key, where it is known.

    {"id":"req-00017","key":"host-81","at":807861604000,"label":"bad","cost_minor":1250,"partition":0,"seq":41,
     "by":"claims"}
    """

    id: str  # the event's
    key: str | None = None  # the event's key: what the record's own key should be
    at: int  # event time, ms
    label: Literal["good", "bad"] | None = None  # None: this record does not say
    cost_minor: int | None = None  # in minor units, 0 or more; None: this record does not say
    partition: int | None = None  # of the decision, where it is known
    seq: int | None = None  # of the decision, where it is known
    by: str | None = None  # who says so


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`dry.checkpoints`: a signed head of one chain. Key: the partition's number as text.

    {"v":1,"note":"sidechain/sidechain.web/0/epoch-0\\n41\\n…","peaks":["<64 hex>",…],"certificate":"…"}
    """

    v: int = 1
    note: str  # C2SP signed note over a checkpoint: origin, size, root, head, totals
    peaks: tuple[str, ...]  # the tree's frontier, largest subtree first: who goes on needs no earlier entry
    certificate: str  # the root's word for the key that signed: the root's public key is all a reader needs


class Tap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`wet.taps`: one decision and the features behind it. Key: `key`; partition: the decision's.

    {"id":"req-00017","key":"p:…","at":807256804000,"partition":0,"seq":41,"action":"review","tier":"review",
     "trust_bp":4120,"score_bp":2500,"policy":"web@1:7b1e0c92d4aa","features":{"errors_5m":31,"gap_ms":null}}
    """

    id: str
    key: str  # a pseudonym where the pack marks the key as personal
    at: int  # event time, ms
    partition: int
    seq: int
    action: str
    tier: str
    trust_bp: int
    score_bp: int
    policy: str
    features: dict[str, int | None]  # None: unknown
    signals: dict[str, int | None] = {}  # those learned from outcomes, as the decision used them; None: unknown


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`wet.cases`: a decision and what its learned signals are of, or the label of one. Partition: the decision's.

    {"partition":0,"offset":57,"seq":41,"at":807256804000,"of":{"door_risk":"east"}}
    {"partition":0,"offset":63,"seq":41,"at":807861604000,"label":"bad"}
    """

    partition: int
    offset: int  # of the entry in `dry.decisions`: a case with one that was seen is a repetition
    seq: int  # of the decision, also where its label is told
    at: int  # event time of the decision or of the outcome, ms
    of: dict[str, str] | None = None  # signal -> what it is of, a pseudonym where that is personal; in a decision
    label: Literal["good", "bad"] | None = None  # in a settlement


class LearnedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.signals`: what is known of something that many keys share. Key: `<signal>/<of>`.

    {"signal":"door_risk","of":"east","value":1538,"model":"bad-share-28d","as_of":807840000000,"known":13,"hits":2,
     "rationale":"2 of 13 outcomes known within 28d were bad","panes":[[9343,4,1],[9350,9,1]]}
    """

    signal: str
    of: str  # a pseudonym where it is personal
    value: int | None  # basis points; None: too few outcomes are known
    model: str
    as_of: int  # event time, ms: the beginning of the newest pane
    known: int  # outcomes within the window
    hits: int  # those with the label
    rationale: str
    panes: tuple[tuple[int, int, int], ...]  # number since 1970, known, hits; what the aggregator goes on from


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.scores`: what a model thinks of one tap, and why. Key and partition: the tap's.

    {"id":"req-00017","key":"p:…","at":807256804000,"partition":0,"seq":41,"action":"review",
     "model":"forest-3:ab12cd34","state":"scored","score":0.93,"base":0.41,"reasons":[["errors_5m",0.52]],
     "rationale":"unusual temporal cluster: errors_5m 31 (usually 0 to 2)","expert":"forest","chosen":"baseline_kept",
     "calibration":"uncalibrated","probability":null,"evidence":0}
    """

    id: str
    key: str
    at: int  # event time, ms
    partition: int
    seq: int
    action: str
    model: str | None  # None: nobody said anything
    state: Literal["warming", "scored", "silent"]
    score: float | None  # 0 usual to 1 unlike anything seen; None while nobody can say, which is not the same as 0
    base: float | None  # base + the sum of the reasons is the score, within 1e-6; None where there are no reasons
    reasons: tuple[Reason, ...]  # by size, the weightiest first; none below the pack's `explain_above`
    rationale: str
    expert: str | None = None  # whose word it is
    chosen: str | None = None  # why that expert's: one of models.wet.selector.REASONS
    calibration: Literal["uncalibrated", "calibrated"] = "uncalibrated"
    probability: float | None = None  # of a bad outcome; None: not calibrated
    evidence: int = 0  # past cases with known outcomes that the score quotes


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.metadata`: the latest risk of one entity, for whoever decides about it next. Key: `key`.

    {"key":"p:…","risk_bp":8700,"level":"raised","model":"forest-3:ab12cd34","as_of":807256804000,
     "expires_at":807260404000,"id":"req-00017","rationale":"…","reasons":[["errors_5m",0.52]]}
    """

    key: str
    risk_bp: int
    level: Level
    model: str
    as_of: int  # event time of the tap that led here, ms
    expires_at: int  # event time after which it says nothing any more, ms
    id: str  # the event that led here
    rationale: str
    reasons: tuple[Reason, ...]


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.models`: whom somebody put in a place of the wet side. Key: `slot`.

    {"v":1,"slot":"champion","model":"champion-3:ab12cd34","version":3,"digest":"<64 hex>","card":"<64 hex>",
     "labels":40000,"until":807861604000,"by":"anna","at":808000000000,"proposal":"<64 hex>"}
    """

    v: int = 1
    slot: Literal["champion"] = "champion"
    model: str | None  # None: nobody is in that place any more, and what follows is null too
    version: int | None = None
    digest: str | None = None  # SHA-256 of the model's file
    card: str | None = None  # SHA-256 of its card
    labels: int | None = None  # outcomes it was fitted to
    until: int | None = None  # event time by which they were known, ms
    by: str  # who decided it
    at: int  # when, by that person's clock, ms
    proposal: str | None = None  # the id of the one it follows


class ShadowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.shadow`: one candidate beside one chain, as far as it is. Key: `policy`; partition: the chain's.

    {"v":1,"policy":"web@2:7b1e0c92d4aa","digest":"<64 hex>","partition":0,"entries":42,"seq":41,"head":"<64 hex>",
     "broken":null,"figures":{…}}
    """

    v: int = 1
    policy: str  # the candidate
    digest: str  # SHA-256 of its text
    partition: int
    entries: int  # of the chain's, from its first one on: looked at
    seq: int | None  # of the last entry that counts; None: none does
    head: str | None  # its hash
    broken: str | None  # why nothing counts behind that, where it does not
    figures: dict[str, Any]  # what `policy backtest --json` prints between `why` and its end


class DecisionRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which decision is meant: {"id":"req-00017","partition":0,"seq":41,"action":"allow"}."""

    id: str
    partition: int
    seq: int
    action: str


class Compensation(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.compensations`: a decision let something through that looks critical now. Key: `key`.

    {"id":"cmp-<32 hex>","key":"p:…","decision":{"id":"req-00017","partition":0,"seq":41,"action":"allow"},
     "risk_bp":9700,"model":"forest-3:ab12cd34","as_of":807256804000,"rationale":"…","reasons":[["errors_5m",0.52]],
     "request":"recheck"}
    """

    id: str  # the first 32 hex digits of SHA-256 of "<decision id>|<partition>|<seq>", behind "cmp-"
    key: str
    decision: DecisionRef
    risk_bp: int
    model: str
    as_of: int  # event time, ms
    rationale: str
    reasons: tuple[Reason, ...]
    request: str  # what the pack asks for


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`alerts`: something wants somebody's attention, or wants it no more. Key: `rule`.

    {"kind":"alert","rule":"InputDrift","at":807256861000,"severity":"ticket","state":"firing","summary":"…",
     "labels":{"stage":"wet","feature":"refused_10m"},"evidence":{"psi":0.31,"edge":0.25}}
    """

    kind: str = "alert"
    rule: str  # what was looked for: one name, whoever finds it
    at: int  # by the clock of whoever says so, ms
    severity: Severity
    state: Literal["firing", "resolved"] = "firing"
    summary: str  # a sentence for whoever is called
    labels: dict[
        str, str
    ]  # what tells this alert from others of its rule: stage, instance, feature, entity (a pseudonym)
    evidence: dict[str, Any]  # the figures behind it


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`alerts`: alerts that belong together, and where to begin. Key: `id`; the newest record of one counts.

    {"kind":"incident","id":"inc-<16 hex>","at":807256861000,"began":807256861000,"severity":"ticket","state":"open",
     "cause":"drift","stage":"wet","summary":"…","rules":["InputDrift"],"alerts":1,"suppressed":0,"labels":{…},
     "because":[],"triage":["…"],"links":["…"]}
    """

    kind: str = "incident"
    id: str
    at: int  # of its newest alert, ms, as the broker stamped it
    began: int  # of its first
    severity: Severity  # of its worst alert
    state: Literal["open", "over"]
    cause: str | None
    stage: str | None
    summary: str
    rules: tuple[str, ...]  # in the order they came
    alerts: int  # different ones
    suppressed: int  # left out because there were too many
    labels: dict[str, str]  # what all its alerts share
    because: tuple[str, ...]  # why the others were put to the first
    triage: tuple[str, ...]  # where to begin, in sentences
    links: tuple[str, ...]  # where to read on, paths in this repository


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of `dry.deadletters`; key and value of the record are the original's own bytes."""

    reason: str  # one of models.dry.parse.REASONS
    field: str  # the field at fault; empty where there is none
    topic: str  # logical name of the input
    partition: int
    offset: int
    digest: str  # SHA-256 of the whole original value; empty for a null value
    length: int  # of the whole original value, bytes
    truncated: bool  # the value is only the beginning of the original


HEADER_PREFIX: Final = "dlq."


def letter(headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes]) -> Letter:
    """Read a dead letter's headers. Raises msgspec.ValidationError when they are not ours."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    named = {
        name.removeprefix(HEADER_PREFIX): value.decode() for name, value in pairs if name.startswith(HEADER_PREFIX)
    }
    return msgspec.convert(named, Letter, strict=False)


class DecisionEntry(entry.Decision, frozen=True, kw_only=True):
    """`dry.decisions`, kind `decision`: one event, decided."""

    hash: str

    @property
    def used_signals(self) -> bool:
        """Whether a value from the wet side took part."""
        return any("value" in one for one in self.signals.values())


class DuplicateEntry(entry.Duplicate, frozen=True):
    """`dry.decisions`, kind `duplicate`: an event decided before."""

    hash: str


class RejectedEntry(entry.Rejected, frozen=True):
    """`dry.decisions`, kind `rejected`: an input that went to the dead letters."""

    hash: str


class SettlementEntry(entry.Settlement, frozen=True):
    """`dry.decisions`, kind `settlement`: an outcome settles a decision."""

    hash: str


class RefusedOutcomeEntry(entry.RefusedOutcome, frozen=True):
    """`dry.decisions`, kind `refused-outcome`: an outcome that settles nothing."""

    hash: str


class PolicyEntry(entry.PolicyChange, frozen=True, kw_only=True):
    """`dry.decisions`, kind `policy`: from the next entry on another policy decides."""

    hash: str


class ListEntry(entry.ListChange, frozen=True, kw_only=True):
    """`dry.decisions`, kind `list`: from the next entry on other rows of a list are asked."""

    hash: str


class DebitEntry(entry.Debited, frozen=True):
    """`dry.decisions`, kind `debit`: another partition asked for a part of an account."""

    hash: str


class CreditEntry(entry.Credited, frozen=True):
    """`dry.decisions`, kind `credit`: another partition gave a part of an account."""

    hash: str


class GapEntry(entry.Gap, frozen=True):
    """`dry.decisions`, kind `gap`: inputs are gone, and a person decided to go on."""

    hash: str


class EpochEntry(entry.Epoch, frozen=True, kw_only=True):
    """`dry.decisions`, kind `epoch`: the chain was broken, and a person decided to begin it anew."""

    hash: str


Entry = (
    DecisionEntry
    | DuplicateEntry
    | RejectedEntry
    | SettlementEntry
    | RefusedOutcomeEntry
    | PolicyEntry
    | ListEntry
    | DebitEntry
    | CreditEntry
    | GapEntry
    | EpochEntry
)

ENTRIES: Final[Mapping[str, type[Entry]]] = {
    "decision": DecisionEntry,
    "duplicate": DuplicateEntry,
    "rejected": RejectedEntry,
    "settlement": SettlementEntry,
    "refused-outcome": RefusedOutcomeEntry,
    "policy": PolicyEntry,
    "list": ListEntry,
    "debit": DebitEntry,
    "credit": CreditEntry,
    "gap": GapEntry,
    "epoch": EpochEntry,
}


class _Kind(msgspec.Struct, frozen=True):
    v: int
    kind: str


_kind: Final = msgspec.json.Decoder(_Kind).decode
_decoders: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(type_) for kind, type_ in ENTRIES.items()
}
_encode: Final = msgspec.json.Encoder().encode


def decode_entry(line: bytes) -> Entry:
    """The typed view of one sealed entry; it does not check the seal, `sidechain verify` does.

    Raises msgspec.DecodeError for what is no entry, and for a kind or version this release does not know: pass such
    an entry over, but do not take it for one you know.
    """
    head = _kind(line)
    if head.v != entry.VERSION or head.kind not in _decoders:
        raise msgspec.DecodeError(f"entry of kind {head.kind!r}, version {head.v}: not known to this release")
    found: Entry = _decoders[head.kind].decode(line)
    return found


def encode(record: msgspec.Struct) -> bytes:
    """The record as it stands on its topic."""
    return _encode(record)


__all__ = [
    "ENTRIES",
    "Action",
    "Alert",
    "Case",
    "CheckpointRecord",
    "Compensation",
    "CreditEntry",
    "DebitEntry",
    "DecisionEntry",
    "DecisionRef",
    "DuplicateEntry",
    "Entry",
    "EpochEntry",
    "GapEntry",
    "IncidentRecord",
    "LearnedSignal",
    "Letter",
    "Level",
    "ListEntry",
    "ListRecord",
    "Metadata",
    "ModelRecord",
    "Next",
    "Outcome",
    "PolicyEntry",
    "PolicyRecord",
    "Reason",
    "RefusedOutcomeEntry",
    "RejectedEntry",
    "RowsRecord",
    "Score",
    "SettlementEntry",
    "Severity",
    "ShadowRecord",
    "Tap",
    "Transfer",
    "decode_entry",
    "encode",
    "letter",
]
