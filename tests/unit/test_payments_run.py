"""How the run of all payments counts: outcomes in their time, ranks by hand, a reader that finds what is planted."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.models import samples
from sidechain.models.dry import Fold, Line
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_cases import run_cases
from sidechain.models.pack_file import load_pack
from tests.bench import payments_changes as changes
from tests.bench import payments_run
from tests.bench.payments_proofs import MEMORY_MS, Flip, Proofs
from tests.bench.payments_read import Ranked, Read, auroc, check_lateness, read
from tests.bench.payments_rows import CHARGED_EVERY, DAY_MS, DELAY_MS, Payment, payments, steps
from tests.bench.payments_run import plan

POLICY = load_pack("payments")
HEADER = samples.raw_lines("payments")[0]


def sample(count: int) -> list[Payment]:
    return list(payments(POLICY, samples.raw_lines("payments")[: count + 1]))


@pytest.mark.parametrize("size", [1, 7, 100, 5_000])
def test_everything_is_told_once_and_behind_all_that_was_paid_by_then(size: int) -> None:
    """Neither before its time nor a step late, in the order of the payments; what is left at the end comes then."""
    found = sample(4_000)
    paid: list[Payment] = []
    charged: list[Payment] = []
    labelled: list[Payment] = []
    for one in steps(found, size):
        paid += one.payments
        charged += one.charged
        labelled += one.labelled
        if one.payments:
            now_ms = paid[-1].at_ms
            for told, every, delay_ms in ((charged, found[::CHARGED_EVERY], DAY_MS), (labelled, found, DELAY_MS)):
                assert all(it.at_ms + delay_ms <= now_ms for it in told)
                assert every[len(told)].at_ms + delay_ms > now_ms, "what was due is not told"
    assert (paid, charged, labelled) == (found, found[::CHARGED_EVERY], found)


def test_a_row_that_is_no_payment_ends_the_run_with_its_line() -> None:
    """Nothing can be counted against rows that were left out, or that come before their time."""
    good = [b"1,2018-04-01 00:00:31,596,3156,57.16,0,0", b"2,2018-04-01 00:00:32,596,3156,57.16,1,2"]
    assert [(one.id, one.kind) for one in payments(POLICY, [HEADER, *good])] == [("1", 0), ("2", 2)]
    with pytest.raises(UsageProblem, match="line 3: "):
        list(payments(POLICY, [HEADER, good[0], b"2,yesterday,596,3156,57.16,0,0"]))
    with pytest.raises(UsageProblem, match="line 3: a payment before the one above it"):
        list(payments(POLICY, [HEADER, *reversed(good)]))


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ({1: 1}, {2: 1}, 1.0),
        ({2: 1}, {1: 1}, 0.0),
        ({5: 3}, {5: 2}, 0.5),  # one score for all says nothing
        ({0: 2, 5: 1}, {5: 1, 9: 1}, (2.5 + 3) / 6),
    ],
)
def test_auroc_by_hand(good: dict[int, int], bad: dict[int, int], expected: float) -> None:
    assert auroc(good, bad) == pytest.approx(expected)


def test_ratios_are_unknown_where_nothing_is_bad() -> None:
    ranked = Ranked()
    ranked.add(100, "review", is_bad=False)
    told = ranked.figures
    assert (told["average_precision"], told["auroc"], told["stopped"], told["stopped_bad"]) == (None, None, 1, 0)


def test_the_changes_are_sound_policies_a_version_apart() -> None:
    """A threshold and a rule, each with its cases; the lists name what the rows name."""
    second = changes.threshold(POLICY)
    third = changes.rule(second)
    assert [one.version for one in (POLICY, second, third)] == [POLICY.version + at for at in range(3)]
    assert {one.id for one in third.rules} - {one.id for one in second.rules} == {"spends_much_in_a_week"}
    for one in (second, third):
        assert all(it.passed for it in run_cases(one))
    found = sample(400)
    newer = [one for version in (1, 2) for one in changes.lists(POLICY, found, version)]
    assert len({one.text.content.digest for one in newer}) == 4
    assert [one.at for one in plan([POLICY, second, third], newer, 400)] == [80, 160, 240, 320]


class Chain:
    """One partition with everything on it, made by the kernel; written as an export has it."""

    def __init__(self, found: Sequence[Payment], newer: Sequence[changes.NewList]) -> None:
        fold, control, self.lines = Fold(POLICY, 0, partitions=1), dict[int, Line](), list[bytes]()
        for number, one in enumerate(newer):
            at, content = 2 * number, one.text.content
            rows = {"kind": "rows", "name": "payments", "list": one.name, "rows": "".join(one.text.chunks)}
            asked = {
                "kind": "list",
                "name": "payments",
                "list": one.name,
                "version": one.version,
                "by": "anna",
                "at": 0,
            }
            asked |= {"digest": content.digest, "rows": content.rows, "type": content.key_type, "chunks": [at]}
            control[at] = Line(at, None, json.dumps(rows, separators=(",", ":")).encode())
            wanted = Line(at + 1, None, json.dumps({**asked, "value": content.value_type}).encode())
            self._take(fold.control(wanted, rows=ListRows(control).of))
        paid = told = 0
        for one in steps(found, 50):
            self._take(
                fold.events([Line(paid + at, it.customer.encode(), it.event) for at, it in enumerate(one.payments)])
            )
            self._take(fold.outcomes([Line(told + at, b"", it.label()) for at, it in enumerate(one.labelled)]))
            paid, told = paid + len(one.payments), told + len(one.labelled)

    def _take(self, folded) -> None:
        self.lines += [value for _, value in folded.entries]

    def read(self, folder: Path, found: Sequence[Payment], newer: Sequence[changes.NewList]) -> Read:
        (folder / "decisions-0.ndjson").write_bytes(b"".join(one + b"\n" for one in self.lines))
        return read(folder, found, newer, changes.BURST)


PAID = sample(4_000)
NEWER = changes.lists(POLICY, PAID, 1)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain(PAID, NEWER)


def test_a_sound_chain_is_read_without_complaint(chain: Chain, tmp_path: Path) -> None:
    found = chain.read(tmp_path, PAID, NEWER)
    assert (found.faults, check_lateness(found)) == ([], None)
    assert found.kinds == {"list": 2, "decision": 4_000, "settlement": 4_000}
    assert found.whole.bad.total() == sum(one.is_bad for one in PAID)
    assert [len(one) for one in found.versions.values()] == [2]
    assert found.sealed_under(0, 77) == POLICY.ref
    spent = Counter(json.loads(line).get("features", {}).get("spent_1d", 0) // 10_000 for line in chain.lines)
    assert len(found.burst) == spent[6] + spent[7] > 0  # from 600.00 up to 800.00
    assert {one["payments"] for one in found.figures["by_policy"].values()} == {4_000}


def _left_out(chain: Chain) -> None:
    del chain.lines[500]


def _fired_for_nothing(chain: Chain) -> None:
    at = next(at for at, line in enumerate(chain.lines) if b'"reasons":[]' in line)
    chain.lines[at] = chain.lines[at].replace(b'"reasons":[]', b'"reasons":[["rule","terminal_blocked",9500]]')


def _silent(chain: Chain) -> None:
    at = next(at for at, line in enumerate(chain.lines) if b'"terminal_blocked"' in line)
    chain.lines[at] = chain.lines[at].replace(b'"terminal_blocked"', b'"hurried"')


def _settled_twice(chain: Chain) -> None:
    chain.lines.append(next(line for line in chain.lines if b'"kind":"settlement"' in line))


def _the_other_label(chain: Chain) -> None:
    at = next(at for at, line in enumerate(chain.lines) if b'"label":"bad"' in line)
    chain.lines[at] = chain.lines[at].replace(b'"label":"bad"', b'"label":"good"')


def _another_time(chain: Chain) -> None:
    chain.lines[10] = chain.lines[10].replace(b'"at":15', b'"at":16')


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_left_out, "4,000 payments were sent and 3,999 are decided"),
        (_fired_for_nothing, "terminal_blocked fired"),
        (_silent, "terminal_blocked did not fire"),
        (_settled_twice, "was settled, or is no decision"),
        (_the_other_label, "is settled as good"),
        (_another_time, "is of no payment that was sent"),
    ],
)
def test_what_is_wrong_with_a_chain_is_said(
    spoil: Callable[[Chain], None], sentence: str, chain: Chain, tmp_path: Path
) -> None:
    """One thing is wrong, and the sentence says which."""
    spoilt = Chain.__new__(Chain)
    spoilt.lines = list(chain.lines)
    spoil(spoilt)
    faults = spoilt.read(tmp_path, PAID, NEWER).faults
    assert any(sentence in one for one in faults), faults


def test_outcomes_before_their_time_are_said(chain: Chain, tmp_path: Path) -> None:
    """As a sender would have them that writes all outcomes first: each is settled as soon as it is paid."""
    early = Chain.__new__(Chain)
    decided = [line for line in chain.lines if b'"kind":"decision"' in line]
    settled = [line for line in chain.lines if b'"kind":"settlement"' in line]
    early.lines = [chain.lines[0], *(line for pair in zip(decided, settled, strict=True) for line in pair)]
    assert "was settled 0.0 h behind its payment" in str(check_lateness(early.read(tmp_path, PAID, NEWER)))


def flip(seq: int, before: str = "allow", at_ms: int = 0) -> Flip:
    return Flip(partition=0, seq=seq, at_ms=at_ms, before=before)


ALLOWED = flip(3)  # between the limits, and allowed
RULES_ALONE, WITH_BUDGETS = False, True


@pytest.mark.parametrize(
    ("has_budgets", "flips", "sentence"),
    [
        (RULES_ALONE, [ALLOWED], ""),
        (RULES_ALONE, [ALLOWED, flip(4, "monitor")], ""),  # between them too
        (RULES_ALONE, [], "0 allowed ones flip, and 1 are between the limits"),
        (RULES_ALONE, [ALLOWED, flip(5)], "2 allowed ones flip, and 1"),
        (RULES_ALONE, [ALLOWED, flip(5, "review")], "1 flip that are not between the limits"),
        (WITH_BUDGETS, [ALLOWED, flip(5, "review")], ""),  # somebody else's review was not held
        (WITH_BUDGETS, [ALLOWED, flip(5, "monitor")], "1 flip that are not between the limits"),
        (RULES_ALONE, [ALLOWED, flip(12)], "1 of its own decisions flip"),
        (WITH_BUDGETS, [ALLOWED, flip(12, at_ms=1_000 + MEMORY_MS)], ""),  # what was held before the change bears on it
        (WITH_BUDGETS, [ALLOWED, flip(12, at_ms=1_001 + MEMORY_MS)], "1 of its own decisions flip"),
    ],
)
def test_a_back_test_that_names_other_flips_than_the_run_showed_is_found(
    has_budgets: bool, flips: list[Flip], sentence: str
) -> None:
    """Entries 3 and 4 are between the limits, 3 was allowed; from 10 on the changed policy decides."""
    proofs = Proofs.__new__(Proofs)
    proofs._policies, proofs._has_budgets = [POLICY], has_budgets
    proofs.read = Read(burst={(0, 3), (0, 4)}, burst_allowed={(0, 3)})
    proofs.read.in_force[0] = [(0, POLICY.ref), (10, "changed")]
    proofs.read.since_ms[0, "changed"] = 1_000
    with nullcontext() if not sentence else pytest.raises(AnswerIsNo, match=sentence):
        proofs.check_flips("changed", flips, is_threshold=True)


def test_without_the_rows_nothing_is_run_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["payments_run", str(tmp_path / "none.csv.gz")])
    assert payments_run.main() == 3
    assert "SKIPPED, nothing was run: " in capsys.readouterr().err
    (tmp_path / "empty.csv").write_bytes(HEADER + b"\n")
    monkeypatch.setattr("sys.argv", ["payments_run", str(tmp_path / "empty.csv")])
    assert payments_run.main() == 2
