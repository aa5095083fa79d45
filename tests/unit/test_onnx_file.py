"""A champion's ONNX file, read by the format's own library and scored by ONNX Runtime."""

import random
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from sidechain.models.wet import protobuf
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.onnx_file import BYTES_MOST

NAMES = ("amount", "count", "gap")


def test_probabilities_are_those_of_scikit_learn_within_a_hundred_thousandth() -> None:
    """Also beside every threshold, far out and unknown; the file names its columns and its model."""
    random = np.random.default_rng(1)
    rows = random.lognormal((5, 2, 15), (2, 1, 3), (3_000, 3)).round()
    is_bad = ((rows[:, 0] > 2_000) | (rows[:, 2] < 1e4)) ^ (random.random(3_000) < 0.02)
    rows[random.random(rows.shape) < 0.05] = np.nan
    grown = grow(rows, is_bad, seed=1, rounds=40)
    model = flatten(grown, NAMES, 3)
    edges = np.unique(model.nodes.threshold[np.isfinite(model.nodes.threshold)])
    beside = np.repeat(np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))])[:, None], 3, axis=1)
    file = model.to_bytes()
    onnx.checker.check_model(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for asked in (rows, -rows * 1e9, beside, np.full((1, 3), np.nan)):
        single = asked.astype(np.float32)
        (given,) = session.run(["probability"], {"features": single})
        assert np.abs(given[:, 0] - grown.predict_proba(single)[:, 1]).max() < 1e-5
    assert model.file_name == f"champion-3-{model.name[-8:]}.onnx"
    told = {one.key: one.value for one in onnx.load_from_string(file).metadata_props}
    assert (told["names"], told["version"]) == ("amount count gap", "3")


def test_numbers_are_written_as_the_format_has_them() -> None:
    """One byte up to 127; a negative number in ten."""
    assert [protobuf.varint(one) for one in (0, 127, 128, 300, -1)] == [
        b"\0", b"\x7f", b"\x80\x01", b"\xac\x02", b"\xff" * 9 + b"\x01",
    ]  # fmt: skip
    assert list(protobuf.fields(protobuf.whole(3, 300) + protobuf.text(20, "a"))) == [(3, 300), (20, b"a")]


def small() -> Boosted:
    """Two trees of one feature."""
    rows = np.arange(400.0)[:, None] % 100
    return flatten(grow(rows, rows[:, 0] > 50, seed=1, rounds=2), ("a",), 1)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"this is not a model at all",
    "cut short": lambda file: file[:-5],
    "too long": lambda file: file + b"\0" * BYTES_MOST,
    "no leaves": lambda file: file.replace(b"leaves", b"leaver"),
    "a number that does not end": lambda file: b"\xff" * 20 + file,
    "no trees": lambda _: protobuf.content(14, protobuf.text(1, "format") + protobuf.text(2, "1")),
    "another format": lambda file: file.replace(b"format\x12\x011", b"format\x12\x012"),
}


@pytest.mark.parametrize("broken", list(BROKEN.values()), ids=list(BROKEN))
def test_what_is_no_champion_is_refused(broken: Callable[[bytes], bytes]) -> None:
    """With a sentence; nothing is run, and nothing hangs."""
    file = small().to_bytes()
    Boosted.from_bytes(file)
    with pytest.raises(ValueError, match="champion"):
        Boosted.from_bytes(broken(file))


@pytest.mark.parametrize(
    ("part", "value"),
    [("right", 0), ("left", -1), ("left", 2**31 - 1), ("feature", 1), ("feature", -1), ("cover", 0), ("value", np.nan)],
)
def test_trees_that_lead_nowhere_are_refused(part: str, value: float) -> None:
    """A way back to the root would be walked for ever."""
    model = small()
    getattr(model.nodes, part)[-1 if part == "value" else 0] = value  # a leaf is last, a root first
    with pytest.raises(ValueError, match="champion"):
        Boosted.from_bytes(model.to_bytes())


def test_any_flipped_byte_is_another_model_or_refused() -> None:
    """Every 37th byte: no exception but ValueError, and never the same name."""
    model = small()
    file = model.to_bytes()
    for at in range(0, len(file), 37):
        flipped = file[:at] + bytes([file[at] ^ 0x55]) + file[at + 1 :]
        try:
            found = Boosted.from_bytes(flipped)
        except ValueError:
            continue
        assert len(found.nodes.left) == len(model.nodes.left)


def mutated(data: bytes, lot: random.Random, depth: int = 4) -> bytes:
    """A field left out, doubled, renamed or another number, here or within one; or bytes changed."""
    parts = list(protobuf.fields(data)) if depth and _is_message(data) else []
    if not parts or lot.random() < 0.2:
        at = lot.randrange(len(data) + 1)
        return data[:at] + lot.randbytes(lot.randint(0, 3)) + data[at + lot.randint(0, 3) :]
    at = lot.randrange(len(parts))
    number, value = parts[at]
    inner = mutated(value, lot, depth - 1) if isinstance(value, bytes) else lot.choice((0, -1, 2**31, 2**63))
    ways: tuple[list[tuple[int, int | bytes]], ...] = (
        [], [(number, value)] * 2, [(lot.randrange(1, 25), value)], [(number, lot.choice((0, -1, 2**31)))],
        *([[(number, inner)]] * 4),
    )  # fmt: skip
    parts[at : at + 1] = lot.choice(ways)
    return b"".join(protobuf.whole(at, one) if isinstance(one, int) else protobuf.content(at, one) for at, one in parts)


def _is_message(data: bytes) -> bool:
    try:
        return bool(list(protobuf.fields(data)))
    except ValueError:
        return False


def test_whatever_becomes_of_its_parts_it_is_a_model_or_refused() -> None:
    """Nothing but ValueError, and what is read can be scored; 20,000 of these were tried once."""
    lot, file, read = random.Random(5), small().to_bytes(), 0
    for _ in range(400):
        try:
            found = Boosted.from_bytes(mutated(file, lot))
        except ValueError:
            continue
        assert len(found.score(np.array([[1.0], [60.0], [np.nan]]))) == 3
        read += 1
    assert 40 < read < 360, "both happen"
