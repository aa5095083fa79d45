"""`export --parquet` and the notebook beside it: every row is an entry, and the page's cells run as they stand."""

import asyncio
import contextlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from sidechain.agents import parquet
from sidechain.agents.chain_sources import FolderSource
from sidechain.agents.cli import build
from sidechain.models.columns import COMMON, Named, Row, read
from tests import dumb_report
from tests.reported import CHAINS, JUNK, exported
from tests.ruins import resealed
from tests.sharing import World

dataset = pytest.importorskip("pyarrow.dataset", reason="pyarrow is not installed: pip install 'sidechain[analysis]'")
parquet_file = pytest.importorskip("pyarrow.parquet")

NOTEBOOK = Path(__file__).parents[2] / "deploy" / "examples" / "reading_an_export.ipynb"
ENTRIES = {at: [json.loads(line) for line in lines if line != JUNK] for at, lines in CHAINS.items()}
SIGNAL = {"value": "", "unknown": "__unknown", "model": "__model", "as_of": "__as_of"}


def export(*words: str | Path):
    return CliRunner().invoke(build(["export"]), ["export", *map(str, words)])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    done = export(folder / "tables", "--parquet", "--export", exported(folder / "export", CHAINS))
    assert done.exit_code == 0, done.stderr
    assert "1 records there are no entries and have no row" in done.stderr
    return folder / "tables"


def rows_of(tables: Path) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in dataset.dataset(tables, format="parquet").to_table().to_pylist():
        found.setdefault(row["partition"], []).append(row)
    return found


def ms(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000)


def test_every_row_is_an_entry_and_every_entry_a_row(tables):
    """Each value compared with what stands in the sealed line, read by nothing but json."""
    found = rows_of(tables)
    assert {at: len(rows) for at, rows in found.items()} == {at: len(one) for at, one in ENTRIES.items()}
    for row, entry in ((row, entry) for at in found for row, entry in zip(found[at], ENTRIES[at], strict=True)):
        for name in ("seq", "kind", "id", "key", "policy", "hash"):
            assert row[name] == entry[name]
        assert row["lists"] == []
        for name in ("settles", "label", "cost_minor", "list", "rows"):
            assert row[name] == entry.get(name)
        for name in ("action", "tier", "trust_bp", "score_bp", "flags", "first", "reason", "length", "by", "why"):
            assert row[name] == entry.get(name)
        assert ms(row["at"]) == entry["at"]
        source = entry["source"] or [None, None, None]
        assert [row["source_topic"], row["source_offset"]] == [source[0], source[2]]
        inputs = [row[name] for name in ("alignment_bp", "risk_bp", "band_bp")]
        assert inputs == entry.get("trust_inputs_bp", [None] * 3)
        for name, value in entry.get("features", {}).items():
            assert row[f"feature_{name}"] == value
        for name, used in entry.get("signals", {}).items():
            there = {part: row[f"signal_{name}{end}"] for part, end in SIGNAL.items()}
            there["as_of"] = ms(there["as_of"])
            assert there == {part: used.get(part) for part in SIGNAL}
        if "reasons" in entry:
            asks = [[one["sort"], one["id"]] for one in row["reasons"]]
            assert asks == [one[:2] for one in entry["reasons"]]


def test_an_epoch_s_entries_say_so(tables):
    epochs = [row["epoch"] for row in rows_of(tables)[2]]
    begins = [entry["kind"] for entry in ENTRIES[2]].index("epoch")
    assert epochs == [0] * begins + [1] * (len(epochs) - begins)


def test_the_totals_of_the_tables_are_those_of_the_report(tables):
    rows = [row for some in rows_of(tables).values() for row in some]
    totals = dumb_report.totals(ENTRIES, {})
    assert dumb_report.count(row["kind"] for row in rows) == totals["entries"]["kinds"]
    fired = [one["id"] for row in rows for one in row["reasons"] or () if one["sort"] == "rule"]
    assert dumb_report.count(fired) == {name: one["decisions"] for name, one in totals["rules"].items()}


class Growing(FolderSource):
    """A log that is read in small batches, and goes on while it is."""

    reads = 0

    async def entries(self, partition: int) -> AsyncIterator[Sequence[bytes]]:
        self.reads += 1
        async for lines in super().entries(partition):
            for start in range(0, 200 if self.reads == 1 else len(lines), 7):
                yield lines[start : start + 7]


def test_rows_are_written_group_by_group(tmp_path, monkeypatch):
    """So that memory does not grow with the entries; what the first pass did not see is left out."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 50)
    source = Growing(exported(tmp_path / "export", {0: CHAINS[0]}))
    (written,) = asyncio.run(parquet.write(source, tmp_path / "tables", lambda _: None))
    assert (written.rows, source.reads) == (203, 2)
    assert parquet_file.ParquetFile(tmp_path / "tables" / written.name).num_row_groups == 5
    assert [row["seq"] for row in rows_of(tmp_path / "tables")[0]] == list(range(203))


def test_what_entries_say_of_budgets_has_columns(tmp_path):
    """Three partitions that lend one another: each amount beside the sealed line, read by nothing but json."""
    world = World(3, seed=4)
    world.run(500)
    chains = {one.number: one.chain for one in world.partitions}
    done = export(tmp_path / "tables", "--parquet", "--export", exported(tmp_path / "export", chains))
    assert done.exit_code == 0, done.stderr
    found, seen = rows_of(tmp_path / "tables"), Counter[str]()
    for row, line in ((row, line) for at in chains for row, line in zip(found[at], chains[at], strict=True)):
        entry = json.loads(line)
        budget, moved = entry.get("budget"), entry.get("transfer")
        seen.update([entry["kind"]])
        assert [row["amount"], row["lapsed"]] == [entry.get("amount"), entry.get("lapsed")]
        for name, said in {
            "account": "account",
            "key": "key",
            "unit": "unit",
            "source": "source",
            "seq": "seq",
        }.items():
            assert row[f"transfer_{name}"] == (moved or {}).get(said)
        assert row["transfer_amount"] == (moved or {}).get("amount")
        assert ms(row["transfer_from"]) == (moved or {}).get("from_ms")
        if budget is None:
            assert (row["reserved"], row["closed"], row["refused"]) == (None, None, None)
            continue
        held = budget["reserved"]
        parts = [] if held is None else zip(held["parts"], held["remaining"], held["initial"], strict=True)
        for one, (part, remaining, initial) in zip(row["reserved"], parts, strict=True):
            times = {"from": ms(one["from"]), "until": ms(one["until"])}
            assert [*{**one, **times}.values()] == [*part, remaining, initial]
        assert [[*one.values()][:4] + [*one.values()][5:] for one in row["closed"]] == [
            [one["reservation"], one["how"], *part[:2], *part[3:]] for one in budget["closed"] for part in one["parts"]
        ]
        names = ("reason", "account", "key", "wanted", "remaining")
        assert row["refused"] == [{name: one[name] for name in names} for one in budget["refused"]]
        assert ms(row["expires"]) == (None if held is None else held["expires_ms"])
        seen.update([name for name in ("reserved", "closed", "refused") if row[name]])
    assert min(seen[one] for one in ("debit", "credit", "reserved", "closed", "refused", "settlement")) > 5, seen


def test_what_governance_said_has_columns():
    """Of a decision and of the settlement of its cost."""
    columns = {one.name: one for one in COMMON}
    base = json.loads(CHAINS[0][1])
    spent = {"partitions": 1, "closed": [], "reserved": None, "refused": []}
    asked = {"answer": "approve", "why": "within_budget", "level": "normal", "cost": 7, "downgraded": False}
    row = Row(0, 0, read(json.dumps({**base, "budget": {**spent, "governed": asked}}).encode()))
    assert [columns[f"governed_{one}"].of(row) for one in ("answer", "why", "level", "cost")] == [*asked.values()][:4]
    watched = {"event": "breach", "tripwire": [1, False, 0], "learned": None}
    row = Row(0, 0, read(json.dumps({**base, "budget": {**spent, "governed": watched}}).encode()))
    assert (columns["tripwire_event"].of(row), columns["governed_answer"].of(row)) == ("breach", None)


@pytest.mark.parametrize(
    "change",
    [
        {"trust_bp": "x"},
        {
            "budget": {
                "reserved": {"parts": [["a", "", "n", 0, 1, 1]], "remaining": [], "initial": [1], "expires_ms": 1}
            }
        },
        {"budget": {"closed": [{"reservation": 1, "how": "settled", "parts": [["a", "b", 1.5, 0, 0, 0, 0]]}]}},
        {"at": 2**70},
        {"features": {"gap": 1.5}},
        {"reasons": [[]]},
        {"signals": {"risk": 1}},
        {"seq": -1},
    ],
)
def test_an_entry_of_no_form_of_ours_has_no_row(change):
    """It is counted; a column has one type."""
    assert read(resealed(CHAINS[0][1], **change)) is None


def test_what_a_policy_measures_are_columns_of_their_own():
    named = Named()
    for line in CHAINS[0]:
        named.see(line)
    added = [one.name for one in named.columns()[len(COMMON) :]]
    assert added[:4] == ["feature_gap", "feature_seen_1m", "signal_mood", "signal_mood__unknown"]
    assert len({one.name for one in named.columns()}) == len(named.columns())


def test_a_log_with_more_columns_than_a_table_can_have_is_refused():
    named = Named()
    lines = [
        resealed(CHAINS[0][1], policy=f"p@{number}:0", features={f"f{number}_{one}": 0 for one in range(1_500)})
        for number in range(2)
    ]
    named.see(lines[0])
    with pytest.raises(ValueError, match="more than 2,000 features"):
        named.see(lines[1])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--parquet", "--with-events"], "leave --with-events away"),
        (["--export", "x"], "--export goes with --parquet"),
        (["--parquet", "--export", "nowhere"], "is no export"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, words, sentence):
    done = export(tmp_path / "tables", *words)
    assert (done.exit_code, sentence in done.stderr) == (2, True)
    assert not (tmp_path / "tables").exists()


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "find_spec", lambda _name: None)
    done = export(tmp_path / "tables", "--parquet", "--export", exported(tmp_path / "export"))
    assert done.exit_code == 3
    assert "pip install 'sidechain[analysis]'" in done.stderr


# The notebook.


def cells() -> list[dict[str, Any]]:
    return msgspec.json.decode(NOTEBOOK.read_bytes())["cells"]


def run(folder: Path) -> tuple[dict[str, Any], str]:
    """Its code cells, one after the other in one fresh namespace; what they left there, and what they printed."""
    said, space = io.StringIO(), {"__name__": "__main__"}
    with contextlib.redirect_stdout(said), contextlib.chdir(folder):
        for cell in cells():
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec"), space)
    return space, said.getvalue()


def test_the_notebook_holds_no_outputs():
    assert all(one["outputs"] == [] and one["execution_count"] is None for one in cells() if one["cell_type"] == "code")


def test_the_notebook_runs_and_counts_flips_by_rule(tables):
    space, said = run(tables.parent)
    found = {row["rule"]: (row["count_all"], row["flips_sum"]) for row in space["flips"].to_pylist()}
    decisions = [one for some in ENTRIES.values() for one in some if one["kind"] == "decision"]
    strictness = ["allow", "monitor", "review", "block"]
    by_hand: dict[str, list[int]] = {}
    for one in decisions:
        tier = "allow" if one["tier"] == "pass" else one["tier"]
        for reason in one["reasons"]:
            if reason[0] == "rule":
                counts = by_hand.setdefault(reason[1], [0, 0])
                counts[0] += 1
                counts[1] += strictness.index(one["action"]) > strictness.index(tier)
    assert found == {name: tuple(counts) for name, counts in by_hand.items()}
    assert "feature_seen_1m" in said


def test_the_notebook_s_reliability_uses_the_labels_that_settled_decisions(tables):
    rows = run(tables.parent)[0]["reliability"].to_pylist()
    decisions = [one for some in ENTRIES.values() for one in some if one["kind"] == "decision"]
    by_place = {(at, one["seq"]): one for at in (0, 1) for one in ENTRIES[at]}
    labels = [(by_place[1, one["settles"]], one["label"]) for one in ENTRIES[1] if one["kind"] == "settlement"]
    assert [row["band"] for row in rows] == sorted({one["trust_bp"] // 1_000 for one in decisions})
    for row in rows:
        inside = [one for one in decisions if one["trust_bp"] // 1_000 == row["band"]]
        known = [label for one, label in labels if label and one["trust_bp"] // 1_000 == row["band"]]
        assert row["count_all"] == len(inside)
        assert row["stopped_sum"] == sum(one["action"] in ("review", "block") for one in inside)
        assert (row["bad_count"], row["bad_sum"] or 0) == (len(known), known.count("bad"))
    assert len(labels) == 3
