"""The tree of RFC 9162: published values, every small tree against a dumber program, and no altered proof passes."""

from functools import cache
from hashlib import sha256

import pytest

from sidechain.models.dry import Fold
from sidechain.models.proof import paths
from sidechain.models.proof.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    extends,
    includes,
    joined,
    leaf_hash,
    leaves_of,
    node_hash,
    root_above,
)
from sidechain.models.proof.paths import consistency_ranges, inclusion_ranges, prove
from tests.support import event, policy, records

# Certificate Transparency's reference tree: eight inputs, the roots of the first n of them, paths in the last of them.
INPUTS = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
NODES = {  # (first leaf, end): the published node over them
    (0, 1): "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    (1, 2): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    (2, 3): "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    (3, 4): "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    (4, 5): "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    (0, 2): "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    (2, 4): "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    (4, 6): "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    (6, 8): "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    (0, 4): "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (4, 8): "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
}
INCLUSION = {  # (index, size): what the path consists of
    (0, 8): [(1, 2), (2, 4), (4, 8)],
    (5, 8): [(4, 5), (6, 8), (0, 4)],
    (2, 3): [(0, 2)],
    (1, 5): [(0, 1), (2, 4), (4, 5)],
}
CONSISTENCY = {  # (older size, size)
    (1, 8): [(1, 2), (2, 4), (4, 8)],
    (2, 8): [(2, 4), (4, 8)],
    (3, 8): [(2, 3), (3, 4), (0, 2), (4, 8)],
    (6, 8): [(4, 6), (6, 8), (0, 4)],
    (2, 5): [(2, 4), (4, 5)],
}

MOST = 130
LEAVES = [sha256(b"%d" % n).digest() for n in range(MOST)]


@cache
def mth(start: int, end: int) -> bytes:
    """MTH of RFC 9162, 2.1.1, as it stands there."""
    if end - start == 0:
        return sha256(b"").digest()
    if end - start == 1:
        return sha256(b"\x00" + LEAVES[start]).digest()
    k = largest_power_below(end - start)
    return sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH of 2.1.3.1."""
    if end - start == 1:
        return []
    k = largest_power_below(end - start)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, known: bool) -> list[bytes]:
    """SUBPROOF of 2.1.4.1."""
    if m == end - start:
        return [] if known else [mth(start, end)]
    k = largest_power_below(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, known), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, False), mth(start, start + k)]


def grown(leaves) -> Frontier:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier


def test_leaves_and_nodes_are_hashed_as_published():
    """The published inputs are no hashes, so they go through the functions a leaf and a node are made with."""
    level = [leaf_hash(one) for one in INPUTS]
    for first in range(5):
        assert level[first].hex() == NODES[first, first + 1]
    assert joined([]).hex() == ROOTS[0]
    assert node_hash(level[0], level[1]).hex() == ROOTS[2]
    assert node_hash(node_hash(level[0], level[1]), level[2]).hex() == ROOTS[3]
    assert joined([bytes.fromhex(NODES[0, 4]), level[4]]).hex() == ROOTS[5]
    assert joined([bytes.fromhex(NODES[0, 4]), bytes.fromhex(NODES[4, 6])]).hex() == ROOTS[6]
    assert joined([bytes.fromhex(NODES[0, 4]), bytes.fromhex(NODES[4, 6]), level[6]]).hex() == ROOTS[7]
    assert joined([bytes.fromhex(NODES[0, 4]), bytes.fromhex(NODES[4, 8])]).hex() == ROOTS[8]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_the_published_inclusion_paths_are_ours_and_check(index, size):
    """The published inputs are no hashes of entries, so the check begins at the leaf's hash."""
    steps = INCLUSION[index, size]
    assert [(one.start, one.stop) for one in inclusion_ranges(index, size)] == steps
    published = [bytes.fromhex(NODES[one]) for one in steps]
    found = root_above(leaf_hash(INPUTS[index]), index, size, published)
    assert found is not None
    assert found.hex() == ROOTS[size]


@pytest.mark.parametrize(("old", "size"), CONSISTENCY)
def test_the_published_consistency_paths_are_ours_and_check(old, size):
    """Roots and steps are published hashes: the verifier takes them as they are."""
    steps = CONSISTENCY[old, size]
    assert [(one.start, one.stop) for one in consistency_ranges(old, size)] == steps
    published = [bytes.fromhex(NODES[one]) for one in steps]
    old_root, root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    assert extends(old_root, old, root, size, published)
    assert not extends(root, old, old_root, size, published)


def test_every_small_tree_has_the_root_and_the_paths_of_the_recursive_definition():
    """All sizes below 130, all leaves, all older sizes; every path made by us is accepted, at its place only."""
    frontier = Frontier()
    for size in range(MOST + 1):
        made = prove(LEAVES, size, inclusion=range(size), consistency=range(size + 1))
        assert made.root == frontier.root() == mth(0, size)
        for index in range(size):
            steps = made.inclusion[index]
            assert steps == path(index, 0, size)
            assert includes(made.root, size, LEAVES[index], index, steps)
            assert not includes(made.root, size, LEAVES[index], (index + 1) % size, steps) or size == 1
            assert not includes(made.root, size, LEAVES[index - 1], index, steps) or size == 1
            assert not includes(made.root, size, LEAVES[index], index, [*steps, made.root])
            assert not steps or not includes(made.root, size, LEAVES[index], index, steps[:-1])
        for old in range(size + 1):
            steps = made.consistency[old]
            assert steps == (subproof(old, 0, size, True) if old else [])
            assert extends(mth(0, old), old, made.root, size, steps)
            assert not extends(mth(0, old), old, made.root, size, [*steps, made.root])
            assert not steps or not extends(mth(0, old), old, made.root, size, steps[:-1])
        if size < MOST:
            frontier.append(LEAVES[size])


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 8, 31, 64])
def test_the_pass_finds_the_same_whatever_it_hashes_at_a_time(monkeypatch, batch):
    """A node may come to be within a batch, at its edge, or between a peak and a batch."""
    monkeypatch.setattr(paths, "BATCH", batch)
    made = prove(LEAVES, MOST, inclusion=range(MOST), consistency=range(1, MOST))
    assert made.root == mth(0, MOST)
    assert made.inclusion == {index: path(index, 0, MOST) for index in range(MOST)}
    assert made.consistency == {old: subproof(old, 0, MOST, True) for old in range(1, MOST)}


def turns(index: int, size: int) -> str:
    """On which side each step of a path stands, from the root down."""
    if size <= 1:
        return ""
    k = largest_power_below(size)
    return "r" + turns(index, k) if index < k else "l" + turns(index - k, size - k)


def old_turns(old: int, size: int, known: bool = True) -> str:
    """The same for a consistency, and whether its first step is stated."""
    if old == size:
        return "known" if known else "stated"
    k = largest_power_below(size)
    return "r" + old_turns(old, k, known) if old <= k else "l" + old_turns(old - k, size - k, False)


def test_a_path_is_refused_for_every_size_of_another_shape():
    """Too short, too long, or turning otherwise. Of the same shape it is the same path: the signed size tells."""
    for size in range(1, 18):
        made = prove(LEAVES, size, inclusion=range(size), consistency=range(1, size))
        for index in range(size):
            steps = made.inclusion[index]
            for claimed in range(1, 36):
                for place in range(claimed):
                    fits = turns(place, claimed) == turns(index, size)
                    assert includes(made.root, claimed, LEAVES[index], place, steps) == fits
        for old in range(1, size):
            for claimed in range(2, 36):
                for place in range(1, claimed):
                    fits = old_turns(place, claimed) == old_turns(old, size)
                    assert extends(mth(0, old), place, made.root, claimed, made.consistency[old]) == fits


def flips(steps: list[bytes]):
    """Every path that differs from this one in one bit."""
    for at, step in enumerate(steps):
        for bit in range(256):
            yield [*steps[:at], (int.from_bytes(step) ^ 1 << bit).to_bytes(32), *steps[at + 1 :]]


@pytest.mark.parametrize("size", range(1, 12))
def test_every_flipped_bit_of_a_proof_is_refused(size):
    made = prove(LEAVES, size, inclusion=range(size), consistency=range(1, size))
    for index in range(size):
        for altered in flips(made.inclusion[index]):
            assert not includes(made.root, size, LEAVES[index], index, altered)
        for [leaf] in flips([LEAVES[index]]):
            assert not includes(made.root, size, leaf, index, made.inclusion[index])
    for old in range(1, size):
        for altered in flips(made.consistency[old]):
            assert not extends(mth(0, old), old, made.root, size, altered)
        for [root] in flips([made.root]):
            assert not extends(mth(0, old), old, root, size, made.consistency[old])
            assert not extends(root, old, made.root, size, made.consistency[old])


@pytest.mark.parametrize("first", [0, 1, 2, 3, 7, 8, 64, 100])
def test_a_tree_grows_alike_whatever_its_batches(first):
    """One by one, in batches of any size, or taken up from its peaks by somebody else."""
    for cut in range(first, MOST, 9):
        one = grown(LEAVES[:first])
        one.extend(LEAVES[first:cut])
        another = Frontier.load(one.size, one.dump(), one.root())
        another.extend(LEAVES[cut:])
        assert (another.size, another.root()) == (MOST, mth(0, MOST))
        assert (one.size, one.root()) == (cut, mth(0, cut))


def test_a_copy_grows_apart():
    one = grown(LEAVES[:11])
    twin = one.copy()
    twin.append(LEAVES[11])
    assert (one.size, one.root(), twin.root()) == (11, mth(0, 11), mth(0, 12))


ROOT = mth(0, 5)
PEAKS = grown(LEAVES[:5]).dump()


@pytest.mark.parametrize(
    ("size", "peaks", "root", "problem"),
    [
        (5, PEAKS[:1], ROOT, "has 2 peaks, not 1"),
        (5, [*PEAKS, PEAKS[0]], ROOT, "has 2 peaks, not 3"),
        (6, PEAKS, ROOT, None),  # the same peaks come to the same root: the checkpoint's size is what tells
        (7, PEAKS, ROOT, "has 3 peaks, not 2"),
        (5, PEAKS[::-1], ROOT, "come to the root"),
        (5, PEAKS, mth(0, 4), "come to the root"),
        (5, [PEAKS[0], PEAKS[1][:-2]], ROOT, "32 bytes"),
        (5, [PEAKS[0], PEAKS[1].upper()], ROOT, "0-9 and a-f"),
        (5, [PEAKS[0], PEAKS[1] + " "], ROOT, "0-9 and a-f"),
        (5, [PEAKS[0], "x"], ROOT, "hexadecimal"),
        (-1, [], EMPTY_ROOT, "between 0 and"),
        (MAX_SIZE + 1, PEAKS[:1], ROOT, "between 0 and"),
        (0, [], ROOT, "come to the root"),
        (0, [], EMPTY_ROOT, None),
    ],
)
def test_peaks_are_taken_up_only_with_their_root(size, peaks, root, problem):
    """What another owner left is data from outside."""
    if problem is None:
        assert Frontier.load(size, peaks, root).root() == root
        return
    with pytest.raises(ValueError, match=problem):
        Frontier.load(size, peaks, root)


@pytest.mark.parametrize("leaf", [b"", LEAVES[0][:-1], LEAVES[0] + b"\x00", LEAVES[0].hex().encode()])
def test_a_leaf_of_another_length_changes_nothing(leaf):
    frontier = grown(LEAVES[:3])
    for add in (lambda: frontier.append(leaf), lambda: frontier.extend([LEAVES[3], leaf])):
        with pytest.raises(ValueError, match="32 bytes"):
            add()
    assert (frontier.size, frontier.root()) == (3, mth(0, 3))


def test_the_largest_tree_has_63_peaks_and_grows_no_further():
    peaks = [sha256(b"%d" % n).digest() for n in range(63)]
    frontier = Frontier.from_peaks(MAX_SIZE, peaks, joined(peaks))
    assert frontier.peaks == tuple(peaks)
    for add in (lambda: frontier.append(LEAVES[0]), lambda: frontier.extend(LEAVES[:1])):
        with pytest.raises(ValueError, match="at most"):
            add()
    assert frontier.root() == joined(peaks)


@pytest.mark.parametrize(
    "given",
    [
        (ROOT, 5, LEAVES[0], -1, [ROOT] * 3),
        (ROOT, 5, LEAVES[0], 5, [ROOT] * 3),
        (ROOT, 0, LEAVES[0], 0, []),
        (ROOT, MAX_SIZE + 1, LEAVES[0], 0, [ROOT] * 63),
        (ROOT, MAX_SIZE, LEAVES[0], 0, [ROOT] * 65),
        (ROOT, 5, LEAVES[0], 0, [ROOT, ROOT, b""]),
        (ROOT, 1, b"", 0, []),
    ],
)
def test_an_inclusion_that_makes_no_sense_is_no_inclusion(given):
    assert not includes(*given)


@pytest.mark.parametrize(
    "given",
    [
        (ROOT, 6, ROOT, 5, []),
        (ROOT, -1, ROOT, 5, []),
        (ROOT, 0, ROOT, 5, []),  # the empty tree has its own root
        (EMPTY_ROOT, 0, ROOT, 5, [ROOT]),
        (mth(0, 4), 5, ROOT, 5, []),
        (ROOT, 5, ROOT, 5, [ROOT]),
        (mth(0, 4), 4, ROOT, 5, []),
        (mth(0, 4), 4, ROOT, MAX_SIZE + 1, [ROOT]),
        (mth(0, 4), 4, ROOT, 5, [ROOT[1:]]),
    ],
)
def test_a_consistency_that_makes_no_sense_is_none(given):
    assert not extends(*given)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"size": 6}, "holds 5 entries, and a tree of 6"),
        ({"size": 5, "inclusion": [5]}, "has no leaf 5"),
        ({"size": 5, "inclusion": [-1]}, "has no leaf -1"),
        ({"size": 5, "consistency": [6]}, "was never one of 6"),
    ],
)
def test_what_is_not_there_cannot_be_proved(asked, problem):
    with pytest.raises(ValueError, match=problem):
        prove(LEAVES[:5], **asked)


def test_a_proof_reads_the_log_once_and_not_beyond_its_size():
    """The log may go on growing while somebody proves; leaves come one after the other."""
    source = iter(LEAVES)
    made = prove(source, 100, inclusion=[17], consistency=[64])
    assert made.root == mth(0, 100)
    assert list(source) == LEAVES[100:]


def test_a_prover_takes_what_comes_and_knows_what_is_missing():
    """For a log that arrives in batches of its own; the last one reaches beyond the tree."""
    prover = paths.Prover(100, inclusion=[99])
    for start, missing in ((0, 60), (40, 20), (80, 0)):
        with pytest.raises(ValueError, match="a tree of 100 was asked for"):
            prover.paths()
        prover.take(LEAVES[start : start + 40])
        assert prover.missing == missing
    prover.take(LEAVES[120:])
    assert prover.paths().root == mth(0, 100)
    assert prover.paths().inclusion == {99: path(99, 0, 100)}


def test_the_leaves_of_a_chain_are_the_hashes_of_its_entries():
    """Worked out by hand: SHA-256 over all but the last 75 bytes."""
    lines = [value for _, value in Fold(policy(), 0).events(records([event(n) for n in range(3)])).entries]
    assert leaves_of(lines) == [sha256(line[:-75]).digest() for line in lines]
