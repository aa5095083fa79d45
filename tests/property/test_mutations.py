"""A thousand ways to spoil a file of entries, and every one is found at the entry where it begins."""

from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from sidechain.agents.verify_files import verify_file
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack

SEED = 807_256_800
EACH = 200  # mutations of each of the five kinds
POLICY = load_pack("web")
CHAIN = Decider(POLICY).lines(samples.events(POLICY)[:120])
FILE = b"".join(one + b"\n" for one in CHAIN)


class Mutation(NamedTuple):
    """A spoiled file, and how many of its entries are still right."""

    content: bytes
    right: int


def edit(random: Random) -> Mutation:
    """One bit, anywhere: also in a seal or in the end of a line."""
    bit = random.randrange(8 * len(FILE))
    content = bytearray(FILE)
    content[bit // 8] ^= 1 << bit % 8
    # The end of a line belongs to the entry before it: without it, that entry's seal is not at its end.
    return Mutation(bytes(content), FILE[: bit // 8].count(b"\n"))


def delete(random: Random) -> Mutation:
    """An entry before the last: that the last one is gone shows only against something outside the file."""
    at = random.randrange(len(CHAIN) - 1)
    return Mutation(_file(CHAIN[:at] + CHAIN[at + 1 :]), at)


def insert(random: Random) -> Mutation:
    """An entry of the same chain, at a place it does not belong to."""
    at, one = random.randrange(len(CHAIN) + 1), random.choice(CHAIN)
    spoiled = [*CHAIN[:at], one, *CHAIN[at:]]
    # Where a copy follows its original, or stands before it, the second of the two is the first that is wrong.
    return Mutation(_file(spoiled), at + 1 if CHAIN[at : at + 1] == [one] else at)


def swap(random: Random) -> Mutation:
    first, second = sorted(random.sample(range(len(CHAIN)), 2))
    spoiled = list(CHAIN)
    spoiled[first], spoiled[second] = spoiled[second], spoiled[first]
    return Mutation(_file(spoiled), first)


def truncate(random: Random) -> Mutation:
    """The file ends inside a line, at least one byte of which is left and one is missing."""
    at = random.randrange(len(CHAIN))
    begin = len(_file(CHAIN[:at]))
    return Mutation(FILE[: begin + random.randrange(1, len(CHAIN[at]))], at)


@pytest.mark.parametrize("kind", [edit, delete, insert, swap, truncate])
def test_every_mutation_is_found_where_it_begins(tmp_path: Path, kind) -> None:
    random = Random(f"{SEED} {kind.__name__}")
    file = tmp_path / "decisions.ndjson"
    for number in range(EACH):
        content, right = kind(random)
        file.write_bytes(content)
        proof = verify_file(file, lambda _count: None)
        assert proof.fault is not None, f"{kind.__name__} {number} of seed {SEED} was not found"
        assert proof.fault.position == right, f"{kind.__name__} {number} of seed {SEED}: {proof.fault}"


def test_the_file_is_found_right_before_it_is_spoiled(tmp_path: Path) -> None:
    file = tmp_path / "decisions.ndjson"
    file.write_bytes(FILE)
    proof = verify_file(file, lambda _count: None)
    assert (proof.fault, proof.entries) == (None, len(CHAIN))


def _file(entries: list[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in entries)
