"""Hostile inputs, from a seed: what any producer, wet worker or person could put on a topic that the decider reads.

Most begin as a valid event, because what is nearly right goes deeper than noise does.
"""

import json
import random
import re
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models.policy import EventField, Policy

NUMBERS: Final = (
    *(b"0 -0 -0.0 1e0 1E400 -1e400 1e-400 0.1 1. .5 01 +1 0x10 1_0 NaN Infinity -Infinity nan".split()),
    *(b"9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809".split()),
    *(b"18446744073709551616 9007199254740993 1e308 1.7976931348623159e308 4.9e-324".split()),
    b"9" * 400,
    b"9" * 5_000,
    b"-" + b"9" * 401,
    b"0." + b"0" * 400 + b"1",
    b"1" + b"0" * 309 + b".5",
)
PIECES: Final = (  # put anywhere
    b"\0",
    b"\\u0000",
    b"\xef\xbb\xbf",  # a byte order mark
    b"\xc0\x80",  # overlong forms
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",  # half a character
    b"\xf4\x90\x80\x80",  # beyond the last one
    b"\xff\xfe",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\ud83d\\ude00",
    "\u2028\u202e\U0010ffff".encode(),
    b"\\",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"//",
    b"\r",
    b"\n",
    b"\t",
    b"\x7f",
    b"null",
    b'"a":',
    b',"id":"x"',
    b"'",
)
PARTITION: Final = 3  # whose chain it is
DEPTHS: Final = (31, 32, 33, 34, 1_000, 30_000)
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")


class Given(NamedTuple):
    """One input, on the topic it comes from."""

    topic: str  # events, control, metadata or transfers
    offset: int
    key: bytes | None
    value: bytes | None
    is_sound: bool = False  # nothing was done to it: an event that must be decided


class Source:
    """An endless stream of inputs for one chain."""

    def __init__(self, policy: Policy, valid: list[dict[str, Any]], chance: random.Random) -> None:
        self.policy = policy
        self._valid = valid
        self._chance = chance
        self._of_others = random.Random(str(chance.getstate()))  # so that all else is what it would be without them
        self._fields = policy.event.fields
        self._id, self._key, self._time = (policy.event.role(role).name for role in ("id", "key", "time"))
        self._count = 0
        self._offsets = {"events": 0, "control": 0, "metadata": 0, "transfers": 0}
        self._version = policy.version
        self._damage = (
            lambda _: self._noise(),
            self._flipped,
            self._spliced,
            self._truncated,
            self._with_repeated_member,
            self._deep,
            self._with_odd_number,
            self._with_piece,
            self._with_piece,
            self._at_the_time_limits,
            self._at_the_field_limits,
            self._at_the_field_limits,
            self._at_the_size_limit,
            self._of_another_shape,
            self._with_other_types,
            self._without_a_member,
            self._spelled_otherwise,
        )

    def next(self) -> Given:
        """The next input: an event mostly."""
        if self._of_others.random() < 0.01:
            offset = self._offsets["transfers"]
            self._offsets["transfers"] = offset + 1
            return Given("transfers", offset, *self._transfer())
        at = self._chance.random()
        if at < 0.004:
            return self._placed("control", *self._control())
        if at < 0.03:
            return self._placed("metadata", *self._metadata())
        event = self._event()
        key, value = str(event[self._key]).encode(), _json(event)
        what = self._chance.random()
        if what < 0.25:
            return self._placed("events", key, value, is_sound=True)
        if what < 0.30:
            keys = (None, b"", b"\xff", b"k" * 1_025, b"other", key, b"\0", key + b" ", key.upper())
            return self._placed("events", self._chance.choice(keys), value)
        if what < 0.31:
            return self._placed("events", self._chance.choice((key, None)), self._chance.choice((None, b"")))
        return self._placed("events", key, self._chance.choice(self._damage)(event))

    def _placed(self, topic: str, key: bytes | None, value: bytes | None, is_sound: bool = False) -> Given:
        offset = self._offsets[topic] + (self._chance.randrange(4) == 0)  # markers leave holes
        self._offsets[topic] = offset + 1
        return Given(topic, offset, key, value, is_sound)

    def _event(self) -> dict[str, Any]:
        """A valid one: new or told before, of few keys or of one never seen, late, in time or far ahead."""
        chance = self._chance
        event = dict(chance.choice(self._valid))
        self._count += 1
        longest = {one.name: one.max_length for one in self._fields}
        if chance.random() < 0.9:
            event[self._id] = f"{self._count:x}"[-longest[self._id] :]
        if chance.random() < 0.3:
            name = chance.choice(("a", "b", 'q"\\:', "\U0001f600", f"{self._count:x}", ":null", "\u2028"))
            event[self._key] = name[: longest[self._key]]
        schema = self.policy.event
        step = chance.choice(
            (0, 1, 7, 400, 60_000, schema.max_step_ms, schema.max_step_ms + 1, 10**9, -5_000, -(10**9))
        )
        event[self._time] = min(max(event[self._time] + self._count * 5 + step, schema.earliest_ms), schema.latest_ms)
        return event

    def _noise(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((0, 1, 2, 8, 60, 300)))

    def _flipped(self, event: dict[str, Any]) -> bytes:
        value = bytearray(_json(event))
        for _ in range(self._chance.choice((1, 1, 1, 2, 8))):
            value[self._chance.randrange(len(value))] ^= 1 << self._chance.randrange(8)
        return bytes(value)

    def _spliced(self, event: dict[str, Any]) -> bytes:
        one, other = _json(event), _json(self._chance.choice(self._valid))
        return one[: self._chance.randrange(len(one) + 1)] + other[self._chance.randrange(len(other) + 1) :]

    def _truncated(self, event: dict[str, Any]) -> bytes:
        value = _json(event)
        return value[: self._chance.randrange(len(value))]

    def _with_repeated_member(self, event: dict[str, Any]) -> bytes:
        name = self._chance.choice(list(event))
        space = self._chance.choice((b":", b" :", b": ", b"\t:\n", b"\r: "))
        again = json.dumps(name).encode() + space + _json(self._chance.choice((event[name], None, 1, "x", {name: 1})))
        return _json(event)[:-1] + b"," + again + b"}"

    def _deep(self, event: dict[str, Any]) -> bytes:
        depth = self._chance.choice(DEPTHS)
        opening, closing = self._chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
        inner = opening * depth + b"1" + closing * depth
        if self._chance.random() < 0.3:
            return inner
        name = self._chance.choice((*event, "unheard-of"))
        return _json({one: value for one, value in event.items() if one != name})[:-1] + b',"%b":%b}' % (
            name.encode(),
            inner if self._chance.random() < 0.7 else inner[: len(inner) // 2],
        )

    def _with_odd_number(self, event: dict[str, Any]) -> bytes:
        value = _json(event)
        found = list(_NUMBER.finditer(value))
        where = self._chance.choice(found) if found else None
        odd = self._chance.choice(NUMBERS)
        return value + odd if where is None else value[: where.start()] + odd + value[where.end() :]

    def _with_piece(self, event: dict[str, Any]) -> bytes:
        value = _json(event)
        at = self._chance.choice((0, len(value), self._chance.randrange(len(value)), value.find(b'":"') + 3))
        return value[:at] + self._chance.choice(PIECES) * self._chance.choice((1, 1, 1, 3)) + value[at:]

    def _at_the_time_limits(self, event: dict[str, Any]) -> bytes:
        schema = self.policy.event
        limits = (schema.earliest_ms, schema.latest_ms, 0, 2**63, -(2**63), 2**53)
        at: Any = self._chance.choice(limits) + self._chance.choice((-1, 0, 1))
        if self._chance.random() < 0.1:
            at = self._chance.choice((float(at), str(at), None, True, [at]))
        return _json({**event, self._time: at})

    def _at_the_field_limits(self, event: dict[str, Any]) -> bytes:
        field = self._chance.choice(self._fields)
        return _json({**event, field.name: self._limit_of(field)})

    def _limit_of(self, field: EventField) -> Any:
        around = self._chance.choice((-1, 0, 1))
        if field.type == "int":
            low, high = field.minimum, field.maximum
            return (
                self._chance.choice((-(2**63) if low is None else low, 2**63 - 1 if high is None else high, 0)) + around
            )
        if field.type == "double":
            return self._chance.choice((1.7976931348623157e308, 5e-324, -0.0, 2**1024, 1, 10**400, 0.1))
        if field.type == "bool":
            return self._chance.choice((True, False, 0, 1, "true"))
        letter = self._chance.choice(("x", "\u00e9", "\U0001f600", '"', "\\", ":", "\0"))
        text = letter * max(0, field.max_length + around)
        if field.type == "list<string>":
            return self._chance.choice(([], [text], [""], ["a"] * 300, [1], [["a"]], [None], "a"))
        return self._chance.choice((text, text, "", " "))

    def _at_the_size_limit(self, event: dict[str, Any]) -> bytes:
        """White space, or a member nobody declared, up to the byte that is one too many."""
        value = _json(event)
        missing = self.policy.event.max_bytes + self._chance.choice((-1, 0, 1)) - len(value)
        if self._chance.random() < 0.7:
            return value + b" " * missing
        return value[:-1] + b',"unheard-of":"%b"}' % (b"y" * (missing - 16))

    def _of_another_shape(self, event: dict[str, Any]) -> bytes:
        shapes = ([event], [], {}, None, 0, "text", True, {"event": event}, {self._id: event}, [[[]]], {"": {"": ""}})
        return _json(self._chance.choice(shapes))

    def _with_other_types(self, event: dict[str, Any]) -> bytes:
        names = self._chance.sample(list(event), min(len(event), self._chance.choice((1, 1, 2))))
        others = (None, True, 0, -1, 1.5, "", "7", [], {}, ["a"], [1], {"a": None}, 10**30, "\ud800", float("nan"))
        return json.dumps({**event, **{name: self._chance.choice(others) for name in names}}).encode()

    def _without_a_member(self, event: dict[str, Any]) -> bytes:
        del event[self._chance.choice(list(event))]
        if self._chance.random() < 0.3:
            event[self._chance.choice(("unheard-of", "", "ID", "\ud800", "a" * 300, "key\0"))] = 1
        return _json(event)

    def _spelled_otherwise(self, event: dict[str, Any]) -> bytes:
        """The same event in other bytes: often still valid, and then it must be decided as such."""
        items = list(event.items())
        self._chance.shuffle(items)
        text = json.dumps(
            dict(items), ensure_ascii=self._chance.random() < 0.5, indent=self._chance.choice((None, 1, "\t"))
        )
        name = self._chance.choice(items)[0]
        if self._chance.random() < 0.5:  # a name in escapes
            text = text.replace(f'"{name}"', '"' + "".join(f"\\u{ord(one):04x}" for one in name) + '"')
        encoding = self._chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"))
        return text.encode(encoding, "replace")

    def _control(self) -> tuple[bytes | None, bytes | None]:
        """A policy that takes effect, one in force, of another pack, or one that is none."""
        text = self.policy.text
        if self._chance.random() < 0.5:
            self._version += 1
            text = text.replace("version: 1\n", f"version: {self._version}\n", 1)
        if self._chance.random() < 0.3:
            text = self._spoilt(text)
        record: dict[str, Any] = {
            "kind": "policy",
            "name": self.policy.name,
            "version": self._version,
            "digest": sha256(text.encode("utf-8", "replace")).hexdigest(),
            "by": self._chance.choice(("anna", '"\\', "\u2028", "x" * 500)),
            "at": self._chance.choice((1_700_000_000_000, 0, -1, 2**63 - 1)),
            "text": text,
        }
        if self._chance.random() < 0.3:
            name = self._chance.choice(list(record))
            record[name] = self._chance.choice((None, 0, "", "other", [], 2**64, "\ud800", {"text": text}))
        damage = self._chance.random()
        value = _json(record)
        if damage < 0.3:
            value = self._chance.choice((self._flipped, self._truncated, self._with_piece, self._with_repeated_member))(
                record
            )
        return self.policy.name.encode(), None if damage > 0.97 else value

    def _spoilt(self, text: str) -> str:
        """A pack's text with a few lines gone, twice there or nonsense."""
        lines = text.splitlines(keepends=True)
        for _ in range(self._chance.choice((1, 2, 5))):
            at = self._chance.randrange(len(lines))
            odd = ("", lines[at] * 2, "&a *a\n", "!!python/object:x {}\n", "[" * 200 + "\n", "\t\0\n", "- -\n")
            lines[at] = self._chance.choice((*odd, self._chance.choice(lines)))
        return "".join(lines)

    def _metadata(self) -> tuple[bytes | None, bytes | None]:
        """What the wet side says, sane or not, about keys that occur."""
        event = self._event()
        extremes = (0, 1, -1, 10_000, 10_001, 2**53, 2**53 + 1, -(2**53), 2**64, 0.5, None, "9", True)
        said: dict[str, Any] = {
            "key": event[self._key],
            "risk_bp": self._chance.choice((*range(0, 10_001, 500), *extremes)),
            "model": self._chance.choice(("forest-1:aa", "", "m" * 128, "m" * 129, '"},"x":{"', "\0", "\ud800", None)),
            "as_of": event[self._time] + self._chance.choice((0, -1, 1, -(10**9), 10**9, 2**53)),
        }
        value: bytes | None = _json(said)
        if self._chance.random() < 0.3:
            value = self._chance.choice((self._flipped(said), self._truncated(said), self._with_odd_number(said), None))
        key = str(event[self._key]).encode()
        return self._chance.choice((key, key, key, key, None, b"k" * 1_025, b"\xff")), value

    def _transfer(self) -> tuple[bytes | None, bytes | None]:
        """What no worker of ours writes, and now and then what one might."""
        chance = self._of_others
        accounts = [] if self.policy.budgeting is None else list(self.policy.budgeting.plan.accounts)
        day = 1_699_920_000_000
        said: dict[str, Any] = {
            "kind": chance.choice(("ask", "grant", "ask", "grant", "gift")),
            "source": chance.choice((0, 1, 2, 2, PARTITION, 99, -1)),
            "epoch": chance.choice((0, 0, 0, 1, 2**53)),
            "seq": chance.choice((self._count, self._count, 0, 2**53 - 1, 2**64)),
            "to": chance.choice((PARTITION, PARTITION, PARTITION, 0)),
            "account": chance.choice((*accounts, *accounts, "nobody", "", "\u2028")),
            "key": chance.choice(("", "a", "k" * 2_000, ":", "\0")),
            "unit": chance.choice(("EUR", "count", "", None)),
            "from_ms": chance.choice((day, 0, -(2**63), day + 1)),
            "until_ms": chance.choice((day + 86_400_000, 2**53 - 1, 0)),
            "amount": chance.choice((0, 1, 100, 2**53 - 1, 2**53, -1, 1.5, True)),
        }
        value: bytes | None = _json(said)
        if chance.random() < 0.3:
            text = _json(said)
            value = chance.choice((text[: chance.randrange(len(text))], text + text, text.replace(b",", b";"), None))
        return chance.choice((b"day", None, b"\xff", b"k" * 1_025)), value


def _json(value: Any) -> bytes:
    """JSON as most write it; what msgspec refuses (half a character, a number of 400 digits) as careless ones do."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError):
        return json.dumps(value, separators=(",", ":")).encode()
