"""Trees of any size: in whatever batches they grow, and whoever goes on, root and paths are the definition's."""

from hashlib import sha256
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support  # noqa: F401 - settings of all property tests
from sidechain.models.proof.merkle import Frontier, extends, includes
from sidechain.models.proof.paths import prove

LEAVES = [sha256(b"%d" % n).digest() for n in range(6_000)]  # more than one batch of the prover
SIZES = st.integers(1, len(LEAVES))


def dumb_root(leaves: list[bytes]) -> bytes:
    """Level by level, an odd one out moving up as it is: another way to say RFC 9162's tree."""
    level = [sha256(b"\x00" + one).digest() for one in leaves]
    while len(level) > 1:
        pairs = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


@settings(max_examples=40)
@given(size=SIZES, cuts=st.lists(st.integers(0, len(LEAVES)), max_size=6))
def test_batches_and_owners_do_not_matter(size, cuts):
    """Every batch is made by somebody who has nothing but the peaks of the one before."""
    frontier = Frontier()
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    for start, end in pairwise(edges):
        frontier = Frontier.load(frontier.size, frontier.dump(), frontier.root())
        if end - start < 4:
            for leaf in LEAVES[start:end]:
                frontier.append(leaf)
        else:
            frontier.extend(LEAVES[start:end])
    assert frontier.size == size
    assert frontier.root() == dumb_root(LEAVES[:size])
    assert len(frontier.peaks) == size.bit_count()


@settings(max_examples=40)
@given(size=SIZES, data=st.data())
def test_what_is_proved_is_accepted_and_altered_it_is_not(size, data):
    """One altered bit anywhere, a step left out, two steps exchanged."""
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    made = prove(LEAVES, size, inclusion=[index], consistency=[old])
    old_root = dumb_root(LEAVES[:old])
    assert made.root == dumb_root(LEAVES[:size])
    within, since = made.inclusion[index], made.consistency[old]
    assert includes(made.root, size, LEAVES[index], index, within)
    assert extends(old_root, old, made.root, size, since)
    for altered in alterations(data, within):
        assert not includes(made.root, size, LEAVES[index], index, altered)
    for altered in alterations(data, since):
        assert not extends(old_root, old, made.root, size, altered)


def alterations(data: st.DataObject, steps: list[bytes]) -> list[list[bytes]]:
    if not steps:
        return [[LEAVES[0]]]
    at = data.draw(st.integers(0, len(steps) - 1))
    bit = data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(steps[at]) ^ 1 << bit).to_bytes(32)
    changed = [[*steps[:at], flipped, *steps[at + 1 :]], [*steps[:at], *steps[at + 1 :]], [*steps, steps[at]]]
    return [*changed, [*steps[1:], steps[0]]] if len(steps) > 1 else changed


@settings(max_examples=60)
@given(
    size=st.integers(-1, 2**64),
    index=st.integers(-1, 2**64),
    path=st.lists(st.binary(max_size=33) | st.sampled_from(LEAVES), max_size=66),
)
def test_no_path_makes_the_verifier_fail_otherwise_than_by_saying_no(size, index, path):
    """Anything may come from outside."""
    assert not includes(LEAVES[1], size, LEAVES[0], index, path)
    assert not extends(LEAVES[1], index, LEAVES[0], size, path)
