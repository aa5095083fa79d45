"""What one partition asks of another's accounts or gives to them, and what becomes of it here.

    {"kind":"ask","source":2,"epoch":0,"seq":41,"to":0,"account":"team_day","key":"","unit":"EUR",…,"amount":120}

An `ask` is answered by a `debit` entry and a grant, a `grant` sealed by a `credit` entry, each once: what comes again
leads to an entry that moves nothing. Nobody waits for an answer. What cannot be read, or is meant for another
partition, is rejected, with its bytes in the dead letters.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from sidechain.models.dry.budget import Budgets, Moment, Transfer, encode_transfer, read_transfer
from sidechain.models.dry.entry import TRANSFERS, Credited, Debited, Rejected
from sidechain.models.dry.parse import Rejection, ambiguous
from sidechain.models.dry.place import Place
from sidechain.models.dry.records import KEY_MAX_BYTES, DeadLetter, InputRecord, cut, dead_letter, text_of

BAD: Final = Rejection("bad-transfer")


class Answered(NamedTuple):
    """What one record of `dry.transfers` leads to. The budgets have changed by it already."""

    key: bytes | None
    entry: Debited | Credited | Rejected
    dead_letter: DeadLetter | None = None
    grant: Transfer | None = None  # to be written with the entry


class Sent(NamedTuple):
    """A record for `dry.transfers`, to be written in the transaction of the entry that made it."""

    partition: int
    key: bytes
    value: bytes


def as_sent(transfer: Transfer) -> Sent:
    """The transfer as it stands on the topic; its key is the account."""
    return Sent(transfer.to, transfer.account.encode(), encode_transfer(transfer))


def answer(record: InputRecord, place: Place, opened: Callable[[], Budgets], now_ms: int) -> Answered:
    """The entry of one record, and what goes with it. `now_ms`: the partition's clock.

    `opened`: the partition's budgets, asked for only where they are needed.
    """
    value, key = record.value, text_of(record.key)
    source = TRANSFERS, place.partition, record.offset
    digest = None if value is None else sha256(value).hexdigest()
    told = cut(record.key, KEY_MAX_BYTES)
    try:
        transfer = _read(value)
    except (ValueError, RecursionError):
        transfer = None
    if transfer is None or digest is None or transfer.to != place.partition:
        opening = place.opening("rejected", source, digest, key=key)
        rejected = Rejected(*opening, BAD.reason, BAD.field, len(value or b""))
        return Answered(told, rejected, dead_letter=dead_letter(record, TRANSFERS, place.partition, BAD, digest))
    budgets, at = opened(), Moment(place.seq, now_ms)
    kind = "debit" if transfer.kind == "ask" else "credit"
    opening = place.opening(kind, source, digest, key=key)
    about = budgets.partitions, transfer
    if kind == "debit":
        debit = budgets.debit(at, transfer)
        return Answered(told, Debited(*opening, *about, debit.amount, debit.reason), grant=debit.grant)
    credit = budgets.credit(at, transfer)
    return Answered(told, Credited(*opening, *about, credit.amount, credit.lapsed, credit.reason))


def _read(value: bytes | None) -> Transfer | None:
    """Raises ValueError for what is no transfer."""
    return None if value is None or ambiguous(value) is not None else read_transfer(value)
