"""The files of an export: what each line holds, and the manifest that lists them.

    decisions-0.ndjson   the sealed entries of partition 0, byte for byte, one a line; foreign records as in foreign.py
    checkpoints-0.ndjson  the records of `dry.checkpoints`, byte for byte: what was signed of these entries
    events-0.ndjson      {"offset":57,"key":"a.example","value":"{\\"id\\":…}"}, one record a line
    outcomes-0.ndjson    the same for the topic `outcomes`
    transfers-0.ndjson   the same for the topic `dry.transfers`
    control.ndjson       the same for the topic `control`
    policy.yaml          the policy that was given to the workers
    policy-7b1e0c92d4aa.yaml  each policy that entries cite, by the end of its reference
    manifest.json        what should be there

A key or value that is not UTF-8 stands as {"base64":"…"}, one that is not there as null: every byte comes back.
"""

import contextlib
import os
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec

from sidechain.agents.foreign import Base64, as_line
from sidechain.agents.whole_folder import no_room
from sidechain.models.dry import Line
from sidechain.models.dry.records import InputRecord

MANIFEST: Final = "manifest.json"
# 2: with checkpoints; 3: with records that are none of ours; 4: with outcomes; 5: with transfers between partitions
MANIFEST_VERSIONS: Final = (1, 2, 3, 4, 5)

Kind = Literal["decisions", "checkpoints", "events", "outcomes", "transfers", "control", "policy"]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file, as the manifest lists it."""

    name: str
    kind: Kind
    partition: int
    records: int  # lines; entries, where the file holds a chain
    first: int | None  # seq of the first entry, or offset of the first record; null for none
    last: int | None
    head: str | None  # hash of the last entry; null for what is no chain
    bytes: int
    sha256: str
    foreign: int = 0  # of the records those that do not have the form of what belongs here


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export consists of."""

    v: int
    policy: str  # reference of the policy in policy.yaml
    topics: dict[str, str]  # logical name -> the topic it was read from
    files: list[Part]
    log: str | None = None  # how checkpoints name these chains; None where there are none
    lacking: list[str] = []  # policies that entries cite and nobody had the text of


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    offset: int
    key: str | Base64 | None
    value: str | Base64 | None


_encode = msgspec.json.Encoder().encode


def written(record: InputRecord) -> bytes:
    """A record as a line."""
    return _encode(_Record(record.offset, _text(record.key), _text(record.value)))


def read(line: bytes) -> Line:
    """The record a line holds; raises ValueError when it holds none."""
    one = msgspec.json.decode(line, type=_Record)
    return Line(one.offset, _bytes(one.key), _bytes(one.value))


def _text(value: bytes | None) -> str | Base64 | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return Base64(b64encode(value).decode("ascii"))


def _bytes(value: str | Base64 | None) -> bytes | None:
    if isinstance(value, Base64):
        return b64decode(value.base64, validate=True)
    return None if value is None else value.encode("utf-8")


class PartFile:
    """A file under way: counts and digests what is written to it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.records = 0
        self.foreign = 0
        self._bytes = 0
        self._digest = sha256()
        self._path = folder / name
        with no_room(self._path):
            self._file = self._path.open("xb", buffering=1024 * 1024)

    def write(self, data: bytes) -> None:
        """One record's line, with its end, or a file's whole content."""
        self.records += 1
        self._bytes += len(data)
        self._digest.update(data)
        with no_room(self._path):
            self._file.write(data)

    def keep(self, value: bytes | None, *, in_form: bool) -> None:
        """A record of a chain's topics. `in_form`: it has the form of what belongs there; else it is marked."""
        line = as_line(value, in_form=in_form)
        self.foreign += line is not value
        self.write(line + b"\n")

    def finish(
        self, kind: Kind, partition: int, first: int | None = None, last: int | None = None, head: str | None = None
    ) -> Part:
        """Bring it to the disk; what the manifest says of it."""
        with no_room(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return Part(
            name=self.name,
            kind=kind,
            partition=partition,
            records=self.records,
            first=first,
            last=last,
            head=head,
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            foreign=self.foreign,
        )

    def close(self) -> None:
        """Let go of it, whatever became of it."""
        with contextlib.suppress(OSError):
            self._file.close()
