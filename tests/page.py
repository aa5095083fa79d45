"""The page of topics/README.md, read: its blocks by name, and the kernel's own entries for its inputs."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from sidechain.models.dry import Fold, Line
from sidechain.models.dry.program import SignalValue
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy

README = Path(__file__).resolve().parents[1] / "topics" / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL))
EVENT_OFFSETS = (0, 1, 2, 4)


def lines(topic: str) -> list[bytes]:
    return [line.encode() for line in BLOCKS[topic].splitlines()]


def entries() -> list[dict]:
    return [json.loads(line) for line in lines("dry.decisions")]


def folded() -> tuple[list[bytes], list, Fold]:
    """The kernel's own entries for the inputs of the page."""
    policy = load(BLOCKS["doors.yaml"].encode() + b"\n", name="doors.yaml")
    fold = Fold(policy, 0)
    inputs = [Line(offset, b"b-17", value) for offset, value in zip(EVENT_OFFSETS, lines("events"), strict=True)]
    first = fold.events(inputs[:3])
    change = fold.control(Line(0, b"doors", lines("control")[0]), lambda text: load(text, name="control"))
    signal = entries()[4]["signals"]["risk"]
    known = SignalValue(**signal)
    last = fold.events(inputs[3:], lambda _key: known)
    made = [value for _, value in first.entries + change.entries + last.entries]
    return made, first.dead_letters, fold


class Told(NamedTuple):
    """An outcome as it was written."""

    offset: int
    key: bytes
    value: bytes
    headers: tuple = ()


def doors(text: bytes) -> Policy:
    return load(text, name="doors.yaml")


def activated() -> bytes:
    """The text of the policy on `control`."""
    return json.loads(lines("control")[0])["text"].encode()
