"""20,000 hostile inputs in the suite, a million by hand; and fuzzing that finds nothing must be able to find."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sidechain.models.dry import fold, windows
from sidechain.models.dry.parse import REASONS, Rejection
from tests.fuzz import campaign
from tests.fuzz.chain import FATES, LENGTH, Finding, inputs_of, run, shrunk
from tests.fuzz.packs import NAMES

CHAINS = 20


def test_twenty_thousand_hostile_inputs() -> None:
    """No exception, every input accounted for, and every reason to reject one was met."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    counts: Counter[str] = Counter()
    for number in range(CHAINS):
        try:
            counts += run(number, inputs_of(seed, number))
        except Finding as finding:
            pytest.fail(f"{finding}: python -m tests.fuzz --inputs {(number + 1) * LENGTH} --seed {seed} repeats it")
    assert sum(counts[one] for one in FATES) == CHAINS * LENGTH
    assert {one for one in REASONS if not counts[f"rejected: {one}"]} == set()
    assert counts["decision"] > CHAINS * LENGTH / 4
    assert counts["policy"] > 0 < counts["of them replayed"]


def test_the_seed_makes_the_inputs() -> None:
    """The same again for the same seed, others for another."""
    assert inputs_of(1, 0, 200) == inputs_of(1, 0, 200) != inputs_of(2, 0, 200)


def planted_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature function that raises for one value in a hundred."""
    sound = windows._extreme

    def _extreme(*given: Any) -> Any:
        new, update, dump, load = sound(*given)

        def planted(slot: Any, at_ms: int, takes_part: bool | None, value: Any) -> Any:
            if at_ms % 100 == 7:
                raise ZeroDivisionError("planted")
            return update(slot, at_ms, takes_part, value)

        return new, planted, dump, load

    monkeypatch.setattr(windows, "_extreme", _extreme)


def lost_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter that gives another reason than the entry."""
    sound = fold.dead_letter

    def dead_letter(record: Any, topic: str, partition: int, why: Rejection, digest: str | None) -> Any:
        return sound(record, topic, partition, Rejection("not-json") if why.reason == "too-deep" else why, digest)

    monkeypatch.setattr(fold, "dead_letter", dead_letter)


def short_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest of the beginning only."""
    sound = fold.sha256
    monkeypatch.setattr(fold, "sha256", lambda value: sound(value[:60_000]))


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (planted_window, "ZeroDivisionError: planted"),
        (lost_letter, "the dead letter gives another reason"),
        (short_digest, "the digest is not the input's"),
    ],
)
def test_what_is_planted_is_found(
    plant: Any, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By few inputs, in a file that shows it again; with the plant gone, nothing is found any more."""
    number = NAMES.index("every")
    inputs = inputs_of(1, number)
    with monkeypatch.context() as planted:
        plant(planted)
        with pytest.raises(Finding, match=found):
            run(number, inputs)
        assert len(shrunk(number, inputs)) <= 2
        planted.chdir(tmp_path)
        assert campaign._report(1, number, found) == 1
        (written,) = tmp_path.iterdir()
        assert str(written.name) in capsys.readouterr().out
        assert campaign.repeat(written) == 1
    assert campaign.repeat(written) == 0
