"""The search for flipped bits, in a small export; the command in `flip_bits.py` runs it over a million entries."""

from pathlib import Path

from tests.bench.flip_bits import search


def test_every_flipped_bit_is_found_at_its_entry(tmp_path: Path) -> None:
    """Also in a seal, and in the newline behind the first, the last and any other entry."""
    rows = search(400, 60, 1, seed=7, folder=tmp_path)
    assert len(rows) == 60
    assert [(byte, bit) for byte, bit, at, entry in rows if at != entry] == []
