"""Chains for tests of the report: several partitions, two policies, every kind of entry, reason, flag and signal.

Two texts of a pack that a loader reads, so an export of these chains holds all that a what-if needs.
"""

import json
import random
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from sidechain.agents.bundle_files import MANIFEST, MANIFEST_VERSIONS, Manifest, Part
from sidechain.agents.foreign import as_line
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from sidechain.models.dry.program import SignalValue
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from tests.signed import ndjson, note, record

T0 = 1_700_000_000_000
DEED = {"at_ms": 1_800_000_000_000, "by": "ben", "why": "The topic kept events | for\nan hour."}
JUNK = b"somebody else wrote this"

TEXT = """\
pack: doors
version: {version}
event:
  max_step: 1m
  fields:
    id: {{type: string, role: id}}
    badge: {{type: string, role: key}}
    at: {{type: int, role: time}}
    n: {{type: int, min: 0}}
state: {{max_keys: 4}}
features:
  - {{name: seen_1m, aggregate: count, window: 1m}}
  - {{name: gap, aggregate: gap}}
signals:
  risk: {{max_age: 1m, max: 9000}}
  mood: {{max_age: 10m, max: 9000}}
rules:
  - {{id: guest, when: event.n > 97, then: allow, reason: A guest.}}
  - {{id: many, when: features.seen_1m > 3, then: monitor, points: 1500, reason: Many.}}
  - {{id: large, when: event.n > {large}, then: review, points: 2500, reason: Large.}}
  - {{id: huge, when: event.n > 95, then: block, points: 9000, reason: Huge.}}
  - {{id: odd, when: event.n % 2 == 1, then: note, points: 300, reason: Odd.}}
typologies:
  - {{id: rush, title: A rush, rules: {{many: 50, large: 50}}, review_at: 50, block_at: 100}}
trust:
  band: {{value: event.n * 80, unknown: 5000}}
  floor: {{below: 4000, then: review}}
  entropy: {{above: 7000, then: block}}
  tiers: {{block: {block}, review: 5000, monitor: 7500}}
"""


def policy(version: int, large: int, block: int) -> Policy:
    return load(TEXT.format(version=version, large=large, block=block).encode(), name="doors.yaml")


FIRST, SECOND = policy(1, 80, 2500), policy(2, 60, 3000)
# What a reader of the texts finds in them; written by hand for the program that cannot read them.
EFFECTS = {"guest": "allow", "many": "monitor", "large": "review", "huge": "block", "odd": "note"}
GATES = {FIRST.ref: ((2500, 5000, 7500), EFFECTS), SECOND.ref: ((3000, 5000, 7500), EFFECTS)}


def chain(partition: int, count: int, *, is_repaired: bool = False, is_settled: bool = False) -> list[bytes]:
    """A rejection, then events; another policy after a third of them; in the end outcomes or repairs, if asked."""
    seeded = random.Random(partition)
    fold = Fold(FIRST, partition)
    lines = _decided(fold, [Line(0, b"b", b"not JSON")], seeded)
    lines += _decided(fold, _events(partition, 1, count // 3, seeded), seeded)
    text = SECOND.text
    value = {
        "kind": "policy",
        "name": "doors",
        "version": 2,
        "digest": SECOND.digest,
        "by": "anna",
        "at": T0,
        "text": text,
    }
    control = Line(0, b"doors", json.dumps(value).encode())
    lines += [line for _, line in fold.control(control, lambda text: load(text, name="control")).entries]
    lines += [line for _, line in fold.control(Line(1, b"doors", b"junk")).entries]
    lines += _decided(fold, _events(partition, fold.next["events"], count - count // 3, seeded), seeded)
    if is_settled:
        lines += [line for _, line in fold.outcomes(_outcomes(lines)).entries]
    if is_repaired:
        lines.append(fold.gap("events", fold.next["events"] + 5, **DEED))
        lines += [*_decided(fold, _events(partition, fold.next["events"], 10, seeded), seeded), JUNK]
        fold, opening = Fold.begin_epoch(SECOND, partition, 1, stated(JUNK, 99), fold.next, **DEED)
        lines += [opening, *_decided(fold, _events(partition, fold.next["events"], 20, seeded), seeded)]
    return lines


def _events(partition: int, start: int, count: int, seeded: random.Random) -> list[Line]:
    found = []
    for offset in range(start, start + count):
        at = T0 + offset * 5_000 + (seeded.choice((-120_000, 7_200_000)) if seeded.random() < 0.04 else 0)
        number = offset if seeded.random() < 0.95 else offset - 1  # the one before once more
        fields: dict[str, Any] = {"id": f"e-{partition}-{number}", "badge": f"b-{seeded.randrange(6)}", "at": at}
        fields["n"] = seeded.choice((-1, "x")) if seeded.random() < 0.04 else seeded.randrange(100)
        found.append(Line(offset, fields["badge"].encode(), json.dumps(fields).encode()))
    return found


def _decided(fold: Fold, events: Sequence[Line], seeded: random.Random) -> list[bytes]:
    """One after the other, each with what the wet side says of its key at that time."""
    lines = []
    for one in events:
        said = SignalValue(
            seeded.choice((100, 5_000, 8_800, 9_500)),
            seeded.choice(("forest-1:aa", "forest-2:bb")),
            T0 + one.offset * 5_000 + seeded.choice((0, -900, -30_000, -400_000, -9_000_000, 60_000)),
            one.offset,
        )
        said_now = None if seeded.random() < 0.3 else said
        lines += [line for _, line in fold.events([one], lambda _key, said_now=said_now: said_now).entries]
    return lines


def _outcomes(lines: list[bytes]) -> list[Line]:
    """What happened to three decisions, and two outcomes that settle nothing."""
    ids = [one["id"] for one in map(msgspec.json.decode, lines) if one["kind"] == "decision"]
    said: list[dict[str, Any]] = [
        {"id": ids[5], "at": T0 + 400_000, "label": "bad"},
        {"id": ids[5], "at": T0 + 900_000, "cost_minor": 1_250},
        {"id": ids[60], "at": T0 + 900_000, "label": "good", "cost_minor": 99},
        {"id": ids[60], "at": T0 + 400_000, "label": "bad", "cost_minor": 5},
        {"id": ids[60], "at": T0 + 400_000, "cost_minor": 1.5},
    ]
    return [Line(offset, b"b", json.dumps(one).encode()) for offset, one in enumerate(said)]


def _listed(lines: list[bytes]) -> list[bytes]:
    """The chain and, sealed by hand behind its end, the entry of a list that took effect."""
    last = msgspec.json.decode(lines[-1])
    place = {"v": 1, "seq": last["seq"] + 1, "prev": last["hash"], "kind": "list", "id": None, "key": "doors/lost"}
    about = {"at": T0, "source": ["control", 0, 5], "next": last["next"], "policy": SECOND.ref}
    rows = {"list": "lost@1:d3fa11034b31", "rows": 2, "replaces": None, "by": "anna"}
    body = msgspec.json.encode({**place, **about, **rows})[:-1]
    return [*lines, b'%b,"hash":"%b"}' % (body, sha256(body).hexdigest().encode())]


# Right entries only; the third is repaired and has junk among them.
CHAINS = {0: chain(0, 240), 1: _listed(chain(1, 150, is_settled=True)), 2: chain(2, 90, is_repaired=True)}
WHOLE = {0: CHAINS[0], 1: CHAINS[1]}


def exported(folder: Path, chains: Mapping[int, list[bytes]] = WHOLE, sizes: Sequence[int] = (40, 100)) -> Path:
    """What `sidechain export` writes of these chains, signed at these sizes."""
    folder.mkdir()
    parts = []
    for partition, lines in chains.items():
        written = [as_line(one, in_form=one != JUNK) for one in lines]
        parts.append(_part(folder, f"decisions-{partition}.ndjson", "decisions", partition, written))
        signed = [note(lines, size, partition) for size in sizes if size <= len(lines)]
        parts.append(
            _part(folder, f"checkpoints-{partition}.ndjson", "checkpoints", partition, list(map(record, signed)))
        )
    texts = {"policy.yaml": FIRST, **{f"policy-{one.digest[:12]}.yaml": one for one in (FIRST, SECOND)}}
    parts += [_part(folder, name, "policy", 0, [one.text.encode()[:-1]]) for name, one in texts.items()]
    manifest = Manifest(v=MANIFEST_VERSIONS[-1], policy=FIRST.ref, topics={}, files=parts, log="web")
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def _part(folder: Path, name: str, kind: Any, partition: int, lines: list[bytes]) -> Part:
    data = ndjson(lines)
    (folder / name).write_bytes(data)
    head = msgspec.json.decode(lines[-1])["hash"] if kind == "decisions" else None
    return Part(
        name=name,
        kind=kind,
        partition=partition,
        records=len(lines),
        first=None,
        last=None,
        head=head,
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
    )
