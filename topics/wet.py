"""What the wet side writes: taps and cases, what it makes of them, and how a candidate does beside a chain."""

from typing import Any, Literal

import msgspec

Level = Literal["normal", "raised", "critical"]
Reason = tuple[str, float]  # a feature, and how much of the score it accounts for


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
     "expires_at":807260404000,"id":"req-00017","rationale":"…","reasons":[["errors_5m",0.52]],"score":0.93,
     "base":0.41,"explained":"req-00017"}
    """

    key: str
    risk_bp: int
    level: Level
    model: str
    as_of: int  # event time of the tap that led here, ms
    expires_at: int  # event time after which it says nothing any more, ms
    id: str  # the event that led here
    rationale: str
    reasons: tuple[Reason, ...]  # of the entity's latest score that had any
    score: float | None = None  # that score: base and the sum of the reasons, within 1e-6; None in older records
    base: float | None = None
    explained: str | None = None  # the event whose score that is


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
     "request":"recheck","score":0.93,"base":0.41,"explained":"req-00017"}
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
    score: float | None = None  # what the reasons add up to, as in the metadata
    base: float | None = None
    explained: str | None = None


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
