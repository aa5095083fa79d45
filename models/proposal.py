"""A change that somebody asks for: what it is, why, on what evidence, and until when it may be made.

    {"v":1,"pack":"doors","change":{"kind":"policy","policy":"doors@2:494507419426",…},"author":"anna","why":"…",
     "evidence":[{"kind":"shadow","policy":"doors@2:494507419426","verdict":"PROMOTE","why":[…],"figures":{…}}],
     "created":807256802000,"expires":808466402000,"id":"<64 hex>"}

Its id is the SHA-256 of all that stands before it, so nobody can change a proposal and keep its name. It changes
nothing by itself: a person activates what it names, and the entries of kind `policy` name it.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from sidechain.models.dry.lists import Table
from sidechain.models.dry.parse import ambiguous
from sidechain.models.policy import Policy
from sidechain.models.policy_diff import changes
from sidechain.models.verdict import Word

VERSION: Final = 1
SEAL_LENGTH: Final = 73  # len(',"id":"' + 64 hex + '"}')
RECORD_MAX_BYTES: Final = 2_000_000  # below what the topic takes
WORDS_AT_MOST: Final = 200  # of a change; more are counted
TEXT_MAX: Final = 4_000  # characters of an author's or a reason's text
_REF: Final = re.compile(r"([a-z][a-z0-9_]*)@([0-9]+):([0-9a-f]{12})")
_SETTING: Final = re.compile(r"[a-z]+\.[a-z_]+")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BadProposal(ValueError):  # noqa: N818 - named for what it is
    """What is no proposal, and why, in a sentence."""


class PolicyText(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="policy", forbid_unknown_fields=True):
    """Another policy is to be in force."""

    policy: str  # its reference
    replaces: str | None  # the one in force when this was written; None: none was
    digest: str  # SHA-256 of the text
    text: str  # the pack file
    words: tuple[str, ...]  # what changes from the one to the other, as `policy diff` says it


class ListRows(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="list", forbid_unknown_fields=True):
    """Other rows of a list are to be in force. The rows themselves stand elsewhere; their digest tells them."""

    list: str  # `lost@2:d3fa11034b31`
    replaces: str | None
    digest: str  # SHA-256 over the rows, as `control` states it
    rows: int
    words: tuple[str, ...]


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="model", forbid_unknown_fields=True):
    """Another model is to be in a place of the wet side. Its file and its card stand elsewhere; digests tell them."""

    model: str  # `champion-3:ab12cd34`
    slot: Literal["champion"]
    replaces: str | None
    version: int
    digest: str  # SHA-256 of the file
    card: str  # SHA-256 of the card
    labels: int  # outcomes it was fitted to
    until: int  # event time by which they were known, ms
    words: tuple[str, ...]


class Operation(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="operation", forbid_unknown_fields=True
):
    """The pipeline is to be run otherwise. Whoever agrees does it; no worker obeys this."""

    setting: str  # a stage and what of it: `wet.workers`, `tap.tap_sampling`
    value: str  # what it is to be
    replaces: str | None  # what it is now
    words: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a back-test, a shadow, a trial or a look at the pipeline found."""

    kind: Literal["backtest", "shadow", "trial", "snapshot"]
    policy: str  # the candidate it is about; of a trial, the model; of a snapshot, the proposal's target
    verdict: Word
    why: tuple[str, ...]
    figures: dict[
        str, Any
    ]  # as `policy backtest --json` prints them; `entries` says what they rest on. Or a card's trial


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proposal that has no name yet."""

    v: int = VERSION
    pack: str
    change: PolicyText | ListRows | ModelFile | Operation
    author: str
    why: str
    evidence: tuple[Evidence, ...] = ()
    created: int  # by the author's clock, ms
    expires: int  # from then on nobody may activate it, ms


class Proposal(Draft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proposal as it stands on `human.proposals`."""

    id: str

    @property
    def target(self) -> str:
        """What would be in force: the reference of a policy or a list, the name of a model, or a setting's value."""
        match self.change:
            case PolicyText(policy=name) | ListRows(list=name) | ModelFile(model=name):
                return name
            case Operation(setting=setting, value=value):
                return f"{setting}={value}"

    @property
    def kind(self) -> str:
        """What sort of change it is: `policy`, `list`, `model`, `operation`."""
        return str(self.change.__struct_config__.tag)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Proposal).decode


def to_policy(policy: Policy, before: Policy | None, replaces: str | None = None) -> PolicyText:
    """The change to `policy` from `before`; `replaces`: the one in force where nobody has its text."""
    words = [str(one) for one in changes(before, policy)] if before is not None else []
    if len(words) > WORDS_AT_MOST:
        words = [
            *words[:WORDS_AT_MOST],
            f"... and {len(words) - WORDS_AT_MOST:,} more; `sidechain policy diff` has all",
        ]
    ref = replaces if before is None else before.ref
    return PolicyText(policy=policy.ref, replaces=ref, digest=policy.digest, text=policy.text, words=tuple(words))


def to_list(ref: str, rows: Table, before: Table | None, replaces: str | None) -> ListRows:
    """The change to `rows` from those of `before`; `replaces`: the version in force. Keys are counted, never named.

    `ref`: what they are to be called. `before`: None where no version is in force, or its rows are gone.
    """
    content = rows.content
    words = (f"{content.rows:,} rows",)
    if before is not None:
        old, new = before.rows, rows.rows
        gone, come = sum(one not in new for one in old), sum(one not in old for one in new)
        words = (f"{content.rows:,} rows instead of {before.content.rows:,}: {come:,} come, {gone:,} go",)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            other = sum(old[one] != value for one, value in new.items() if one in old)
            words = (f"{words[0]}, {other:,} have another value",)
    return ListRows(list=ref, replaces=replaces, digest=content.digest, rows=content.rows, words=words)


def evidence_of(kind: Literal["backtest", "shadow"], told: dict[str, Any]) -> Evidence:
    """What `policy backtest --json` or a shadow says, without single events: a proposal is kept for ever.

    Raises `BadProposal`.
    """
    figures = {name: value for name, value in told.items() if name not in ("candidate", "verdict", "why")}
    try:
        figures["moves"] = [{name: at for name, at in one.items() if name != "examples"} for one in figures["moves"]]
        words = {"policy": told["candidate"], "verdict": told["verdict"], "why": told["why"]}
        return msgspec.convert({"kind": kind, **words, "figures": figures}, Evidence)
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise BadProposal(f"it is not what `sidechain policy backtest --json` prints: {fault}") from None


def sealed(draft: Draft) -> bytes:
    """The record, its id at its end. Raises `BadProposal` for one that nobody would take."""
    body = _encode(draft)[:-1]
    value = b'%b,"id":"%b"}' % (body, sha256(body).hexdigest().encode())
    read(value)
    return value


def read(value: bytes | None) -> Proposal:
    """The proposal in a record of `human.proposals`. Raises `BadProposal`."""
    content = value or b""
    if len(content) > RECORD_MAX_BYTES:
        raise BadProposal(f"it has {len(content):,} bytes, and {RECORD_MAX_BYTES:,} are taken")
    try:
        if (fault := ambiguous(content)) is not None:
            raise BadProposal(f"it is not strict JSON: {fault.reason}")
        found = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProposal(f"it is none that this release reads: {error}") from None
    body, end = content[:-SEAL_LENGTH], content[-SEAL_LENGTH:]
    if end != b',"id":"%b"}' % sha256(body).hexdigest().encode():
        raise BadProposal("its id is not the SHA-256 of what stands before it: it was changed, or is not ours")
    for why in _faults(found):
        raise BadProposal(why)
    return found


def _faults(one: Proposal) -> Sequence[str]:
    """Why it is not to be taken, in sentences."""
    found = []
    if one.v != VERSION:
        found.append(f"it is of version {one.v}, and {VERSION} is known here")
    for name, text in (("author", one.author), ("why", one.why)):
        if not text.strip() or len(text) > TEXT_MAX:
            found.append(f"`{name}` says nothing, or more than {TEXT_MAX:,} characters")
    if not 0 <= one.created < one.expires:
        found.append("it expires before it was created")
    change = one.change
    if isinstance(change, PolicyText):
        ref = _REF.fullmatch(change.policy)
        digest = sha256(change.text.encode()).hexdigest()
        if digest != change.digest:
            found.append(f"its digest {change.digest[:16]} is not that of its text, {digest[:16]}")
        if ref is None or ref[1] != one.pack or ref[3] != digest[:12]:
            found.append(f"{change.policy} is not the name of its text, which is of pack {one.pack}")
    elif isinstance(change, ModelFile):
        digests = (change.digest, change.card)
        is_its_name = change.model == f"{change.slot}-{change.version}:{change.digest[:8]}"
        if not all(_DIGEST.fullmatch(each) for each in digests) or not is_its_name:
            found.append(f"{change.model} is not the name of a model with SHA-256 {change.digest[:16]}")
    elif isinstance(change, Operation):
        if change.value == change.replaces or not _SETTING.fullmatch(change.setting):
            found.append(f"{change.setting}={change.value} is no change of how a stage is run")
    elif _DIGEST.fullmatch(change.digest) is None or not change.list.endswith(f":{change.digest[:12]}"):
        found.append(f"{change.list} is not the name of rows with SHA-256 {change.digest[:16]}")
    found += [
        f"its evidence is about {piece.policy}, and it asks for {one.target}"
        for piece in one.evidence
        if piece.policy != one.target
    ]
    return found
