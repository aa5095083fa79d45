"""What a worker signs about one chain: how many entries, and the root of the tree over them (C2SP tlog-checkpoint).

    sidechain/web/3/epoch-0
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
    head=4d0e…
    rejected=12

Origin, size, root in base64; then `name=value` lines in the order of their names. `head` is the hash of the last entry
and ties the links of the chain to the tree: who goes on from here compares it with the next entry's `prev`. Every other
value is a count that never falls. They are signed like the rest, and no path through the tree proves them: whoever
has the log can count again.

Two checkpoints of one origin and one size must never have two roots; whoever finds such a pair has proof of a fork.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sidechain.models.proof.merkle import EMPTY_ROOT, HASH_LENGTH, MAX_SIZE
from sidechain.models.proof.note import Malformed, from_base64, to_base64

WHAT: Final = "checkpoint"
HEAD: Final = "head"
MAX_TOTALS: Final = 64
_ORIGIN: Final = re.compile(
    r"sidechain/([A-Za-z0-9][A-Za-z0-9._-]{0,199})/(0|[1-9][0-9]{0,8})/epoch-(0|[1-9][0-9]{0,8})"
)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Origin(NamedTuple):
    """Which chain: `sidechain/<log>/<partition>/epoch-<n>`. `log` is the pack's name or the topics' prefix."""

    log: str
    partition: int
    epoch: int

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """The chain a checkpoint's first line names. Raises Malformed."""
        match = _ORIGIN.fullmatch(text)
        if match is None:
            raise Malformed(WHAT, "an origin reads sidechain/<log>/<partition>/epoch-<n>", 1)
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"sidechain/{self.log}/{self.partition}/epoch-{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One state of one chain."""

    origin: Origin
    size: int  # entries, and leaves of the tree
    root: bytes
    head: str | None = None  # hash of the last entry, 64 hex; None: not stated
    totals: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """The text to be signed. Raises Malformed when a field has no such form."""
        lines = dict(self.totals) if self.head is None else {**self.totals, HEAD: self.head}
        extra = "".join(f"{name}={lines[name]}\n" for name in sorted(lines))
        text = f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n{extra}"
        if parse(text) != self:
            raise Malformed(WHAT, "a field would be read back as another")
        return text


def parse(text: str) -> Checkpoint:
    """The checkpoint in a note's text. Raises Malformed with the line."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise Malformed(WHAT, "it has an origin, a size and a root, a line each")
    origin = Origin.parse(lines[0])
    size = number(lines[1])
    if size is None:
        raise Malformed(WHAT, f"the size is not a whole number up to {MAX_SIZE}", 2)
    root = from_base64(lines[2])
    if root is None or len(root) != HASH_LENGTH:
        raise Malformed(WHAT, f"the root is not base64 of {HASH_LENGTH} bytes", 3)
    if (size == 0) != (root == EMPTY_ROOT):
        raise Malformed(WHAT, "the root of no entries belongs to size 0 and to no other", 3)
    head, totals = _extensions(lines[3:-1])
    return Checkpoint(origin=origin, size=size, root=root, head=head, totals=totals)


def number(text: str) -> int | None:
    """A whole number as we write it, without leading zeros; None for anything else or above a tree's size."""
    if _NUMBER.fullmatch(text) is None or int(text) > MAX_SIZE:
        return None
    return int(text)


def _extensions(lines: list[str]) -> tuple[str | None, dict[str, int]]:
    if len(lines) > MAX_TOTALS:
        raise Malformed(WHAT, f"more than {MAX_TOTALS} lines below the root", 4 + MAX_TOTALS)
    head: str | None = None
    totals: dict[str, int] = {}
    last = ""
    for at, line in enumerate(lines, 4):
        name, _, value = line.partition("=")
        if _NAME.fullmatch(name) is None:
            raise Malformed(WHAT, "a line below the root reads name=value, the name in lower case", at)
        if name <= last:
            raise Malformed(WHAT, f"{name} must stand once, in the order of the names", at)
        last = name
        if name == HEAD:
            if _HASH.fullmatch(value) is None:
                raise Malformed(WHAT, "head is the 64 hexadecimal digits of an entry's hash", at)
            head = value
            continue
        count = number(value)
        if count is None:
            raise Malformed(WHAT, f"{name} is not a whole number up to {MAX_SIZE}", at)
        totals[name] = count
    return head, totals
