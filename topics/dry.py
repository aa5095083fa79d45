"""What the dry side writes, typed for who reads it: entries of the chain, signed heads, headers of dead letters.

What goes between partitions, on `dry.transfers`, is `models.dry.budget.records.Transfer`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sidechain.models.dry import entry


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`dry.checkpoints`: a signed head of one chain. Key: the partition's number as text.

    {"v":1,"note":"sidechain/sidechain.web/0/epoch-0\\n41\\n…","peaks":["<64 hex>",…],"certificate":"…"}
    """

    v: int = 1
    note: str  # C2SP signed note over a checkpoint: origin, size, root, head, totals
    peaks: tuple[str, ...]  # the tree's frontier, largest subtree first: who goes on needs no earlier entry
    certificate: str  # the root's word for the key that signed: the root's public key is all a reader needs


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
