"""Lists that rules ask: their rows, and which version of each is in force.

    {"kind":"rows","name":"doors","list":"blocked","rows":"b-17\\nb-23\\n"}
    {"kind":"list","name":"doors","list":"blocked","version":1,"digest":"c1…","rows":2,…,"chunks":[4]}

The rows of a list are too many for one record: they stand on `control` first, and the record that puts them in force
names their offsets. One rule decides alike for whoever decides and for whoever replays: what a `list` record names must
stand before it, and must be what its digest says. Rows are lines in the order of their bytes, so that anybody can work
out the digest: `LC_ALL=C sort FILE | sha256sum`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from sidechain.models.dry.state import Change, share
from sidechain.models.policy import KeyType, ListSchema

LIST_PREFIX: Final = b"list:"
ROWS_MAX: Final = 2_000_000  # about 140 bytes of memory each, once for all partitions of a worker
KEY_MAX: Final = 1_024  # characters of a key, and of a value
CHUNKS_MAX: Final = 4_096
BYTES_MAX: Final = 268_435_456  # of the records that hold a list's rows
LISTS_MAX: Final = 64  # in force at once on one chain

_ROWS_OPENING: Final = b'{"kind":"rows",'
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")  # tab and line feed are the format's own
_INTS: Final = re.compile(r"(?:(?:0|-?[1-9][0-9]{0,18})\n)*+")
_INT64: Final = range(-(2**63), 2**63)


class Activation(msgspec.Struct, frozen=True, rename={"list_name": "list", "key_type": "type", "value_type": "value"}):
    """A control record of kind `list`."""

    kind: str
    name: str  # of the pack
    list_name: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
    version: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    digest: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]  # SHA-256 of all rows
    rows: Annotated[int, Meta(ge=0, le=ROWS_MAX)]
    key_type: Literal["string", "int"]
    value_type: Literal["string", "int"] | None  # None: rows are keys alone
    by: Annotated[str, Meta(max_length=1_024)]
    at: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    chunks: Annotated[tuple[int, ...], Meta(max_length=CHUNKS_MAX)]  # offsets of the records that hold the rows
    # The id of the one it follows.
    proposal: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def kind_of_rows(self) -> "Content":
        """What the rows are, whatever the list is called."""
        return Content(self.digest, self.rows, self.key_type, self.value_type)

    def is_of(self, declared: ListSchema) -> bool:
        """Whether its rows are such as a policy that declares the list so can ask."""
        return (self.key_type, self.value_type) == (declared.key_type, declared.value_type)

    def is_behind_its_rows(self, offset: int) -> bool:
        """Whether all it names stands before it, where it stands at this offset."""
        return all(one < offset for one in self.chunks)

    @property
    def ref(self) -> str:
        """How entries name it: `blocked@3:5d41402abc4b`."""
        return list_ref(self.list_name, self.version, self.digest)


class Content(NamedTuple):
    """The rows of a list, named by what they are."""

    digest: str
    rows: int
    key_type: KeyType
    value_type: KeyType | None


class Chunk(msgspec.Struct, frozen=True, rename={"list_name": "list"}):
    """A control record of kind `rows`: a part of a list, whole lines."""

    kind: str
    name: str
    list_name: str
    rows: str


class Standing(msgspec.Struct, frozen=True, rename={"key_type": "type", "value_type": "value"}):
    """Which version of a list is in force: its record on the changelog."""

    version: int
    digest: str
    rows: int
    key_type: KeyType
    value_type: KeyType | None
    offset: int  # on `control`, of the record that put it in force

    @property
    def kind_of_rows(self) -> Content:
        """What the rows are."""
        return Content(self.digest, self.rows, self.key_type, self.value_type)


class Table:
    """The rows of one list, in memory once for everybody who asks.

    Keys alone are a set: among a million it answers in half the time of a dict, whose look-up goes to more places.
    """

    __slots__ = ("__weakref__", "content", "rows")

    def __init__(self, content: Content, texts: Iterable[str]) -> None:
        """Raises ValueError unless the texts, one after another, are these rows in canonical form.

        It works text by text, so that a thread that reads a million rows lets others go on in between.
        """
        read = _READERS[content.key_type, content.value_type]
        rows: set[Any] | dict[Any, Any] = set() if content.value_type is None else {}
        digest, last = sha256(), ""
        for text in texts:
            last = _in_order(text, last)
            digest.update(text.encode())
            rows.update(read(text))
            if len(rows) > content.rows:
                break
        if len(rows) != content.rows:  # a key that stands twice makes one row
            raise ValueError(f"its rows are not {content.rows}")
        if digest.hexdigest() != content.digest:
            raise ValueError(f"its rows sum up to {digest.hexdigest()}, not to {content.digest}")
        self.content = content
        self.rows: Collection[Any] = rows  # nobody changes it; a mapping where keys have values


Rows = Callable[[int, Activation], Table | None]  # offset and record -> the rows; None: not there, or not as stated


class RowsGone(LookupError):  # noqa: N818 - named for what it is
    """A chain was decided with rows that nobody has any more."""


def no_rows(_offset: int, _activation: Activation) -> None:
    """The `rows` of a run without lists."""


def is_rows(value: bytes | None) -> bool:
    """Whether a control record holds rows of a list, as we write them. It takes no effect, whatever else it says."""
    return value is not None and value.startswith(_ROWS_OPENING)


def list_ref(name: str, version: int, digest: str) -> str:
    """`blocked@3:5d41402abc4b`."""
    return f"{name}@{version}:{digest[:12]}"


def read_activation(value: bytes | None) -> Activation | None:
    """The record that puts a list in force; None for any other."""
    try:
        found = msgspec.json.decode(value or b"", type=Activation)
    except (ValueError, RecursionError):
        return None
    return found if found.kind == "list" else None


def rows_from(chunk_at: Callable[[int], bytes | None], offset: int, activation: Activation) -> Table | None:
    """The rows that the record at `offset` names. `chunk_at`: the value of the control record at an offset."""
    if not activation.is_behind_its_rows(offset):
        return None
    try:
        return Table(activation.kind_of_rows, _texts(map(chunk_at, activation.chunks)))
    except (ValueError, RecursionError):  # any bytes may stand there
        return None


class Lists:
    """The lists in force on one chain, and their rows."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}
        self._tables: dict[str, Table] = {}
        self._dirty: dict[str, None] = {}
        self._shares: dict[str, int] = {}
        self.total = 0  # of the shares of their records, as of the last `changes`

    def standing(self, name: str) -> Standing | None:
        """Which version is in force; None: none ever was."""
        return self._standing.get(name)

    def is_in_force(self, activation: Activation) -> bool:
        """Whether this very version, with these very rows, is in force."""
        found = self._standing.get(activation.list_name)
        return found is not None and (found.version, *found.kind_of_rows) == (
            activation.version,
            *activation.kind_of_rows,
        )

    def has_room(self, name: str) -> bool:
        """Whether one more list may be in force."""
        return name in self._standing or len(self._standing) < LISTS_MAX

    def put(self, activation: Activation, offset: int, table: Table) -> None:
        """From here on this version is in force."""
        name, content = activation.list_name, activation.kind_of_rows
        self._standing[name] = Standing(activation.version, *content, offset)
        self._tables[name] = table
        self._dirty[name] = None

    def rows(self, declared: ListSchema) -> Any:
        """What a policy that declares it so asks. None: no such list is in force."""
        found = self._standing.get(declared.name)
        if found is None or (found.key_type, found.value_type) != (declared.key_type, declared.value_type):
            return None
        table = self._tables.get(declared.name)
        return _NotAtHand(declared.name) if table is None else table.rows

    def cited(self, declared: ListSchema) -> str | None:
        """How a decision names the version it could ask."""
        if self.rows(declared) is None:
            return None
        found = self._standing[declared.name]
        return list_ref(declared.name, found.version, found.digest)

    def changes(self) -> Iterator[Change]:
        """What changed since the last call."""
        for name in self._dirty:
            record, value = LIST_PREFIX + name.encode(), msgspec.json.encode(self._standing[name])
            self._count(name, record, value)
            yield record, value
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def restore(self, record: bytes, value: bytes) -> None:
        """One list read back from the changelog. Raises ValueError when it cannot be read."""
        name = record.removeprefix(LIST_PREFIX).decode()
        self._standing[name] = msgspec.json.decode(value, type=Standing)
        self._count(name, record, value)

    def fill(self, tables: Mapping[Content, Table]) -> None:
        """The rows of those read back; to ask one whose rows are not among them is a mistake of ours, and raises."""
        for name, one in self._standing.items():
            if (table := tables.get(one.kind_of_rows)) is not None:
                self._tables[name] = table

    def _count(self, name: str, record: bytes, value: bytes) -> None:
        now = share(record, value)
        self.total += now - self._shares.get(name, 0)
        self._shares[name] = now


def standing_in(state: Mapping[bytes, bytes]) -> Iterator[Standing]:
    """The lists in force, as a changelog's records say; what cannot be read is for `Fold.restore` to complain about."""
    for record, value in state.items():
        if record.startswith(LIST_PREFIX):
            try:
                yield msgspec.json.decode(value, type=Standing)
            except (ValueError, RecursionError):
                continue


class _NotAtHand:
    """Stands for rows that were not loaded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __contains__(self, _key: object) -> bool:
        raise RowsGone(f"the rows of list {self._name} are asked for, and nobody brought them")

    def get(self, key: object, _default: object = None) -> object:
        """Raises."""
        return key in self


def _texts(values: Iterable[bytes | None]) -> Iterator[str]:
    size = 0
    for value in values:
        if value is None or not is_rows(value):
            raise ValueError("no rows stand there")
        size += len(value)
        if size > BYTES_MAX:
            raise ValueError(f"its records are larger than {BYTES_MAX} bytes")
        yield msgspec.json.decode(value, type=Chunk).rows


def _in_order(text: str, last: str) -> str:
    """The last line of a text whose lines are in order, behind the line `last`. Raises ValueError."""
    if not text.endswith("\n") or _FORBIDDEN.search(text) or text[0] in " \n" or " \n" in text or "\n " in text:
        raise ValueError("its rows are not written as rows are")
    lines = text.split("\n")
    lines.pop()
    if "\n\n" in text or not last < lines[0] or not all(map(str.__lt__, lines, lines[1:])):
        raise ValueError("its rows are not in order")
    return lines[-1]


def _strings(text: str) -> list[str]:
    if "\t" in text:
        raise ValueError("a row has a value, and its list has none")
    lines = text.split("\n")
    lines.pop()
    if max(map(len, lines)) > KEY_MAX:
        raise ValueError(f"a row is longer than {KEY_MAX} characters")
    return lines


def _pairs(text: str) -> dict[str, str]:
    lines = text.split("\n")
    lines.pop()
    found = dict(line.split("\t") for line in lines)  # raises ValueError unless there is one tab
    for one in (found.keys(), found.values()):
        if min(map(len, one)) < 1 or max(map(len, one)) > KEY_MAX:
            raise ValueError(f"a key or a value is empty or longer than {KEY_MAX} characters")
    if any(one[-1] == " " for one in found) or any(one[0] == " " for one in found.values()):
        raise ValueError("there is a blank beside a tab")
    if len(found) != len(lines):
        raise ValueError("a key stands twice")
    return found


def _ints(texts: Iterable[str]) -> list[int]:
    written = list(texts)
    if not _INTS.fullmatch("\n".join([*written, ""])):
        raise ValueError("a number is not written as one")
    found = list(map(int, written))
    if found and (min(found) not in _INT64 or max(found) not in _INT64):
        raise ValueError("a number does not fit 64 bits")
    return found


_READERS: Final[Mapping[tuple[KeyType, KeyType | None], Callable[[str], Any]]] = {
    ("string", None): _strings,
    ("int", None): lambda text: _ints(_strings(text)),
    ("string", "string"): _pairs,
    ("string", "int"): lambda text: _with(_pairs(text), keys=False),
    ("int", "string"): lambda text: _with(_pairs(text), values=False),
    ("int", "int"): lambda text: _with(_pairs(text)),
}


def _with(found: dict[str, str], *, keys: bool = True, values: bool = True) -> dict[Any, Any]:
    return dict(zip(_ints(found) if keys else found, _ints(found.values()) if values else found.values(), strict=True))
