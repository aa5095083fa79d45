"""Where a new owner's books begin: at the last checkpoint of each chain, and the entries behind it.

A checkpoint is only believed when a key the root certified signed it, for this very chain, and when the chain agrees
with it: it is not shorter, and the entry behind it names the checkpoint's head. Then the tree goes on from its peaks,
and no earlier entry is read. A chain that has none yet is read once from its beginning.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from sidechain.agents.checkpoints import Keys, Seen, origin_of, read_record
from sidechain.agents.lane.log_ends import Ends, Span, read_spans
from sidechain.agents.lane.problems import Refused
from sidechain.agents.lane.signed import Books
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold
from sidechain.models.dry.chain import Fault, Verifier
from sidechain.models.dry.entry import GENESIS, VERSION, is_epoch, stated
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof import note as notes
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import Malformed, NotProved

log = logging.getLogger(__name__)

LOOKED: Final = 8  # offsets at the end of dry.checkpoints looked at first; checkpoints and markers
LEAST: Final = 64  # offsets at the end of a chain read at first, beside two for each entry behind the checkpoint
WIDER: Final = 8
PUT_RIGHT: Final = (
    "A worker of ours writes no such record: take that right away from whoever did, and write the last good record of "
    "the partition once more behind it"
)


async def open_books(
    config: Config, keys: Keys | None, consumer: AIOKafkaConsumer, ends: Ends, folds: Mapping[int, Fold]
) -> Books | None:
    """The books of these chains as they stand; None where nothing is signed. Raises Refused."""
    topic = config.topic("dry.checkpoints")
    records = await _last_records(consumer, ends, topic, sorted(folds))
    seen: dict[int, Seen] = {}
    for partition, (offset, value) in records.items():
        where = f"{topic}/{partition}, offset {offset}"
        if found := _seen(config, keys, where, value, folds[partition]):
            seen[partition] = found
    if keys is None:
        return None
    ledgers = {}
    for partition, fold in folds.items():
        ledgers[partition] = await _caught_up(config, consumer, ends, fold, partition, seen.get(partition))
    origins = {one: origin_of(config, one, fold.epoch) for one, fold in folds.items()}
    for one, fold in folds.items():
        if refusal := keys.refusal(origins[one], fold.seq):
            raise Refused(f"partition {one} cannot have checkpoints: {refusal}; have the root certify the key for it")
    signed = {one: seen[one].checkpoint.size if one in seen else 0 for one in folds}
    return Books(keys, origins, ledgers, signed, config.checkpoint_every_s)


async def last_epoch(config: Config, consumer: AIOKafkaConsumer, ends: Ends, partition: int) -> int:
    """The epoch a partition's last checkpoint names, whoever signed it; 0 where none can be read."""
    records = await _last_records(consumer, ends, config.topic("dry.checkpoints"), [partition])
    try:
        note = notes.parse(read_record(records[partition][1]).note, "its note")
        return checkpoints.parse(note.text).origin.epoch
    except (KeyError, ValueError):
        return 0


def _seen(config: Config, keys: Keys | None, where: str, value: bytes | None, fold: Fold) -> Seen | None:
    """The checkpoint in the last record, if it is of the chain's epoch. Raises Refused."""
    try:
        record = read_record(value)
        stated = checkpoints.parse(notes.parse(record.note, "its note").text)
    except ValueError as fault:
        raise Refused(f"{where} is no checkpoint ({fault}). {PUT_RIGHT}") from fault
    ours = origin_of(config, fold.partition, fold.epoch)
    if stated.origin.epoch < fold.epoch and stated.origin._replace(epoch=fold.epoch) == ours:
        return None  # of a chain that a person has closed
    if keys is None:
        raise Refused(
            f"{where}: this chain has checkpoints, and no key is configured to check or continue them. Set "
            "checkpoint_key_file, checkpoint_certificate_file and checkpoint_root_file"
        )
    try:
        found = keys.believed(record)
    except (NotProved, Malformed) as fault:
        raise Refused(
            f"{where} is not to be believed: {fault}. Is checkpoint_root_file ({keys.root.name}, "
            f"{keys.root.id.hex()}) the root of this installation? If it is: {PUT_RIGHT}"
        ) from fault
    if found.checkpoint.origin != ours:
        raise Refused(
            f"{where} is a checkpoint of {found.checkpoint.origin}, and this chain is {ours}: one of the topics was "
            "replaced or restored wrongly. Restore dry.decisions, dry.state and dry.checkpoints as of one moment; if "
            "an epoch is lost, `sidechain repair --epoch` begins another",
            "epoch" if found.checkpoint.origin._replace(epoch=fold.epoch) == ours else None,
        )
    return found


async def _caught_up(
    config: Config, consumer: AIOKafkaConsumer, ends: Ends, fold: Fold, partition: int, seen: Seen | None
) -> Ledger:
    """The books at the end of the chain."""
    topic = config.topic("dry.decisions")
    ledger = _begun(partition, seen)
    began = ledger.size
    if began > fold.seq:
        raise Refused(
            f"{topic}/{partition} holds {fold.seq} entries, and a checkpoint was signed over {began}: entries that "
            "were committed are gone. Restore the topic, or begin anew behind what is left with "
            "`sidechain repair --epoch`",
            "epoch",
        )
    fault = None
    if began < fold.seq:
        ledger, fault = await _read_on(TopicPartition(topic, partition), consumer, ends, fold, ledger)
    if fault or ledger.size != fold.seq or (ledger.head or GENESIS) != fold.head_hash:
        raise Refused(
            f"{topic}/{partition} does not agree with its last checkpoint, over {began} entries: "
            f"{fault or 'the entry behind it does not name its head'}. The chain was replaced or altered: restore the "
            "topic, or begin anew behind it with `sidechain repair --epoch`",
            "epoch",
        )
    if fold.seq:
        log.info("partition %d: checkpoint over %d entries, %d read behind it", partition, began, fold.seq - began)
    return ledger


def _begun(partition: int, seen: Seen | None) -> Ledger:
    if seen is None:
        return Ledger()
    try:
        return Ledger.load(seen.checkpoint, seen.peaks)
    except ValueError as fault:
        raise Refused(f"the last checkpoint of partition {partition} leads nowhere: {fault}. {PUT_RIGHT}") from fault


async def _read_on(
    tp: TopicPartition, consumer: AIOKafkaConsumer, ends: Ends, fold: Fold, ledger: Ledger
) -> tuple[Ledger, Fault | None]:
    """The books with the entries behind them, and the first that is wrong.

    Where those begin in the log is not known, because offsets have holes: ever more of its end is read.
    """
    whole = (await ends.spans([tp]))[tp]
    width = 2 * (fold.seq - ledger.size) + LEAST
    while True:
        span = Span(max(whole.start, whole.end - width), whole.end)
        follower = _Follower(ledger.copy(), fold.epoch)
        async for _, records in read_spans(consumer, {tp: span}):
            follower.take([record.value or b"" for record in records])
        if follower.is_far_enough or span == whole:
            return follower.ledger, follower.fault
        width *= WIDER


class _Follower:
    """Finds the entry with which the books go on, and adds it and all that follow."""

    def __init__(self, ledger: Ledger, epoch: int) -> None:
        self.ledger = ledger
        self.fault: Fault | None = None
        self.is_far_enough = False  # what was looked for cannot stand further back
        self._is_anew = epoch > 0 and ledger.size == 0  # the books begin with the last `epoch` entry
        self._opening = b'{"v":%d,"seq":%d,"prev":"%b",' % (VERSION, ledger.size, (ledger.head or GENESIS).encode())
        self._verifier: Verifier | None = None

    def take(self, lines: Sequence[bytes]) -> None:
        """The next entries of the log."""
        if not self.is_far_enough:
            self.is_far_enough = (stated(lines[0]).seq or 0) <= self.ledger.size and not self._is_anew
        at = self._begin(lines)
        if at is None or self._verifier is None:
            return
        right = []
        for line in lines[at:]:
            self.fault = self.fault or self._verifier.take(line)
            if self.fault:
                break
            right.append(line)
        self.ledger.extend(right)

    def _begin(self, lines: Sequence[bytes]) -> int | None:
        """With which of these the books go on; None: with none of them."""
        if self._is_anew:
            begins = [at for at, line in enumerate(lines) if is_epoch(line)]
            if begins:
                self.is_far_enough, self.fault, self.ledger, self._verifier = True, None, Ledger(), Verifier()
                return begins[-1]
        elif self._verifier is None:
            begins = [at for at, line in enumerate(lines) if line.startswith(self._opening)]
            if begins:
                self.is_far_enough = True
                self._verifier = Verifier(seq=self.ledger.size, prev=self.ledger.head or GENESIS)
                return begins[0]
        return None if self._verifier is None else 0


async def _last_records(
    consumer: AIOKafkaConsumer, ends: Ends, topic: str, partitions: Sequence[int]
) -> dict[int, tuple[int, bytes | None]]:
    """The last visible record of each partition that has one: its offset and value."""
    tps = [TopicPartition(topic, one) for one in partitions]
    spans = await ends.spans(tps)
    found: dict[int, tuple[int, bytes | None]] = {}
    width = LOOKED
    waiting = {tp for tp in tps if spans[tp].start < spans[tp].end}
    while waiting:
        wanted = {tp: Span(max(spans[tp].start, spans[tp].end - width), spans[tp].end) for tp in waiting}
        async for tp, records in read_spans(consumer, wanted):
            found[tp.partition] = records[-1].offset, records[-1].value
        waiting = {tp for tp in waiting if tp.partition not in found and wanted[tp] != spans[tp]}
        width *= WIDER
    return found
