"""`sidechain report` and `verify --report`: files, an export, bad input, and the page of the contract's own chain."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sidechain.agents.cli import build
from tests import dumb_report
from tests.page import BLOCKS, lines
from tests.reported import CHAINS, DEED, FIRST, GATES, JUNK, T0, exported
from tests.ruins import resealed
from tests.signed import ndjson, root_file

RUNNER = CliRunner()


def call(command: str, *words: str | Path):
    return RUNNER.invoke(build([command]), [command, *map(str, words)])


def report(*words: str | Path):
    return call("report", *words)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("audit") / "export")


@pytest.fixture(scope="module")
def written(export: Path) -> Path:
    """The report of that export."""
    file = export.parent / "report.json"
    file.write_bytes(report("--export", export, "--format", "json").stdout_bytes)
    return file


def files(export: Path) -> list[Path]:
    return sorted(export.glob("decisions-*.ndjson"))


def test_the_report_is_what_the_dumber_program_finds_in_the_export(export, written):
    """Which is also how an auditor would go about it."""
    stated = json.loads(written.read_bytes())
    assert stated["totals"] == dumb_report.totals(dumb_report.entries_of(export), GATES)
    assert dumb_report.gates_of(stated) == GATES
    assert dumb_report.main(export, written) is False


def test_the_same_inputs_give_the_same_bytes(export, written):
    """Also in another order, in several processes, and of files instead of the export they are from."""
    again = report("--export", export, "--format", "json", "--jobs", "2")
    assert again.stdout_bytes == written.read_bytes()
    assert report("--export", export, "--json").stdout_bytes == written.read_bytes()
    of_files = [report(*some, "--format", "json").stdout_bytes for some in (files(export), files(export)[::-1])]
    assert of_files[0] == of_files[1]
    assert len(of_files[0]) > 1_000


def test_files_without_the_policy_have_every_total_but_the_what_if(export, written):
    done = report(*files(export), "--format", "json")
    here, there = json.loads(done.stdout)["totals"], json.loads(written.read_bytes())["totals"]
    assert {name: here[name] for name in here if name != "what_if"} == {
        name: there[name] for name in there if name != "what_if"
    }
    assert "nobody here has its text; name it with --policy" in done.stderr
    assert done.exit_code == 0


def test_verify_comes_to_every_number_of_a_report(export, written):
    done = call("verify", "--export", export, "--report", written)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "report: every number is what the chains come to"


def test_what_a_report_could_not_know_is_not_held_against_it(export, tmp_path):
    """It was made of the files alone, without a what-if; who verifies it has the policies' texts."""
    stated = tmp_path / "report.json"
    stated.write_bytes(report(*files(export), "--format", "json").stdout_bytes)
    done = call("verify", "--export", export, "--report", stated)
    assert done.exit_code == 0, done.stdout
    with_text = tmp_path / "more.json"
    with_text.write_bytes(report("--export", export, "--format", "json").stdout_bytes)
    done = call("verify", *files(export), "--report", with_text)
    assert done.exit_code == 0, done.stdout
    assert "the what-if is counted with what the report says of it" in done.stderr


def test_verify_names_what_a_report_says_wrongly(export, written, tmp_path):
    stated = json.loads(written.read_bytes())
    right = stated["totals"]["actions"]["block"]
    altered = tmp_path / "altered.json"
    altered.write_bytes(written.read_bytes().replace(b'"block":%d}' % right, b'"block":%d}' % (right - 9), 1))
    done = call("verify", "--export", export, "--report", altered)
    assert done.exit_code == 1
    said = f"totals.actions.block: the report says {right - 9}, the chains come to {right}"
    assert said in done.stdout
    assert "digest: " in done.stdout
    answer = json.loads(call("verify", "--export", export, "--report", altered, "--json").stdout)
    assert answer["report"]["differences"][1] == {
        "where": "totals.actions.block",
        "stated": str(right - 9),
        "found": str(right),
    }


def test_a_checkpoint_that_a_report_names_must_be_of_these_entries(export, written, tmp_path):
    stated = json.loads(written.read_bytes())
    root = stated["chains"][0]["epochs"][0]["checkpoint"]["root"]
    altered = tmp_path / "altered.json"
    altered.write_bytes(written.read_bytes().replace(root.encode(), b"0" * 64))
    done = call("verify", "--export", export, "--report", altered)
    assert done.exit_code == 1
    assert "BROKEN" in done.stdout
    assert "the report" in done.stdout


def test_signatures_are_said_to_be_checked_only_when_they_were(export, tmp_path):
    done = report("--export", export, "--root", root_file(tmp_path))
    assert "Signed by worker+b04bd442; checked with the root key root+a0ca5d31." in done.stdout
    assert "nobody's signature was checked (--root)" in report("--export", export).stdout


def test_a_broken_chain_is_said_in_the_report_and_by_the_exit(tmp_path):
    """What is right in itself is counted: the entries before the fault, and those of the next epoch."""
    broken = exported(tmp_path / "export", CHAINS)
    done = report("--export", broken)
    assert done.exit_code == 1
    assert "**The chain of partition 2 is BROKEN**; see the end." in done.stdout
    assert "**Partition 2 is BROKEN** at entry 104: not a sealed entry;" in done.stdout
    assert "the chain of partition 2 is broken" in done.stderr
    found = json.loads(report("--export", broken, "--format", "json").stdout)
    assert [one["unbroken"] for one in found["chains"]] == [True, True, False]
    assert found["totals"] == dumb_report.totals(dumb_report.entries_of(broken), GATES)
    assert f"{DEED['by']}, 2027-01-15T08:00:00Z: The topic kept events \\| for an hour." in done.stdout


def test_an_altered_entry_counts_for_nothing_nor_does_what_follows(tmp_path):
    file = tmp_path / "decisions.ndjson"
    entries = list(CHAINS[0])
    entries[100] = entries[100].replace(b'"seq":100', b'"seq":100 ')
    file.write_bytes(ndjson(entries))
    done = report(file, "--format", "json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["totals"]["entries"]["in_period"] == 100


def test_a_sealed_record_that_is_no_entry_makes_the_answer_no(tmp_path):
    file = tmp_path / "decisions.ndjson"
    file.write_bytes(resealed(CHAINS[0][1], seq=0, prev="0" * 64, trust_bp=99_999) + b"\n")
    done = report(file)
    assert done.exit_code == 1
    assert "Not counted, not readable as entries: 1" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--since", "2030-01-01"], 0, "no decision falls into this period; those of the chains have event times from"),
        (["--since", "2023-11-15", "--until", "2023-11-15"], 2, "no time lies between them"),
        (["--since", "yesterday"], 2, "--since yesterday is no time; write 2026-11-01"),
        (["--until", "2026-11-01T12:00:00"], 2, "has no offset from UTC"),
        (["--period", "7 days"], 2, "--period 7 days is no duration; write 7d"),
        (["--period", "0d"], 2, "is no duration"),
        (["--period", "7d", "--since", "2023-01-01"], 2, "leave --since and --until away"),
        (["--format", "pdf"], 2, "pdf"),
        (["--checkpoints", "x"], 2, "--checkpoints goes with files"),
        (["a.ndjson"], 2, "name files or --export"),
    ],
)
def test_bad_input_is_a_sentence(export, words, code, sentence):
    done = report("--export", export, *words)
    assert (done.exit_code, sentence in re.sub(r"[\s│]+", " ", done.stderr)) == (code, True)


def test_a_report_of_a_period_without_decisions_says_so(export):
    page = report("--export", export, "--since", "2030-01-01").stdout
    assert "**No decision falls into this period.**" in page
    assert "Not counted, outside the period: 365 decision" in page


@pytest.mark.parametrize("content", [b"", b"\n\n"], ids=["empty", "blank lines"])
def test_a_file_without_entries_is_bad_input(tmp_path, content):
    file = tmp_path / "decisions.ndjson"
    file.write_bytes(content)
    done = report(file)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "holds no entry" in done.stderr


def test_foreign_records_break_the_chain_they_stand_in(tmp_path):
    file = tmp_path / "decisions.ndjson"
    file.write_bytes(ndjson([JUNK, b'{"v":1}']))
    assert report(file).exit_code == 1


def test_one_chain_in_two_files_would_count_twice(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(ndjson(CHAINS[0]))
    done = report(tmp_path / "a", tmp_path / "b")
    assert done.exit_code == 2
    assert "two of the files are of partition 0" in done.stderr


def test_the_last_period_ends_behind_the_newest_decision(export):
    """Event time: what the machine's clock says is nobody's business."""
    span = json.loads(report("--export", export, "--period", "10m", "--format", "json").stdout)["period"]
    assert span["until"] == span["chains_last"] + 1
    assert span["until"] - span["since"] == 600_000


def test_a_time_of_making_is_in_it_only_when_somebody_states_one(export, written):
    assert json.loads(written.read_bytes())["at"] is None
    assert json.loads(report("--export", export, "--at", str(T0), "--format", "json").stdout)["at"] == T0


def test_a_page_fits_a_narrow_screen_whatever_people_wrote(export, tmp_path):
    """Tables stay tables: what people wrote breaks no row."""
    page = report("--export", exported(tmp_path / "all", CHAINS)).stdout
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) == page.count("\n|-")
    for table in tables:
        rows = table.splitlines()
        assert max(map(len, rows)) <= 80
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


PAGE = """\
# What was decided

**2 decisions**: 0.0 % blocked, 50.0 % sent to review, 0.0 % allowed and watched, 50.0 % allowed.

- Period (event time): all there is
- First and last decision: 1995-08-01T06:00:00Z, 1995-08-01T06:01:01Z
- All decisions of the chains: 1995-08-01T06:00:00Z to 1995-08-01T06:01:01Z

## Decisions

| Action | Decisions | Share |
|---|---:|---:|
| block | 0 | 0.0 % |
| review | 1 | 50.0 % |
| monitor | 0 | 0.0 % |
| allow | 1 | 50.0 % |

| Trust tier | Decisions | Share |
|---|---:|---:|
| block | 0 | 0.0 % |
| review | 1 | 50.0 % |
| monitor | 0 | 0.0 % |
| pass | 1 | 50.0 % |

Mean trust 6,482 of 10,000, mean score 2,000 of 10,000.

| Trust from, to | Decisions | Share |
|---|---:|---:|
| 4,001 to 5,000 | 1 | 50.0 % |
| 8,001 to 9,000 | 1 | 50.0 % |

## Rules and typologies

| Rule | Fired | Blocked | Review |
|---|---:|---:|---:|
| trying | 1 | 0 | 1 |

| Trust gate | Asks | Decisions |
|---|---|---:|
| trust below its floor | flag | 1 |

## Policies

| Policy | Decisions | Block | Review |
|---|---:|---:|---:|
| doors@1:b0540bbf90a2 | 1 | 0 | 0 |
| doors@2:494507419426 | 1 | 0 | 1 |

Put in force by people; the time is their clock, the entry is where it took effect.

| Policy | By | When | Part. | Entry |
|---|---|---|---|---:|
| doors@2:494507419426 | anna | 1995-08-01T06:00:02Z | 0 | 3 |

## Signals

**risk**: known in 50.0 % of 2 decisions.

| Unknown because | Decisions | Share |
|---|---:|---:|
| nothing was said | 1 | 50.0 % |

| Age up to | Decisions | Share |
|---|---:|---:|
| 10 min | 1 | 100.0 % |

## What if

The same decisions with the trust tiers moved; rules and history as they were.

| Scenario | Block | Review | Monitor | Allow | Changed |
|---|---:|---:|---:|---:|---:|
| conservative (+500) | 0 | 0 | 0 | 1 | 0 |
| balanced (as it was) | 0 | 0 | 0 | 1 | 0 |
| aggressive (-500) | 0 | 0 | 0 | 1 | 0 |

Not recomputed, for want of the policy's text: 1 doors@2:494507419426.

## What really happened

No outcome came in this period.

## Money

Nothing was reserved: no policy of these decisions has a budget.

## What was not decided

- Repeated events, decided once before: 1
- Rejected inputs, kept as dead letters: 1

| Rejected because | Inputs |
|---|---:|
| missing-field | 1 |

## Repairs

None: no input was passed over and no chain was begun anew.

## Chains

Every seal and link was checked while this was counted.

| Part. | Epoch | Entries | Head | Signed |
|---:|---:|---:|---|---|
| 0 | 0 | 5 | 90bc5501761d7c58 | up to 5 |

Signed by worker+b04bd442; nobody's signature was checked (--root).
"""


def test_the_page_of_the_contract_s_own_chain(tmp_path):
    """Five entries, few enough to count by hand: the story of `topics/README.md`."""
    for name, content in (("d", "dry.decisions"), ("c", "dry.checkpoints"), ("p.yaml", "doors.yaml")):
        (tmp_path / name).write_bytes(ndjson(lines(content)))
    page = report(tmp_path / "d", "--checkpoints", tmp_path / "c", "--policy", tmp_path / "p.yaml").stdout
    assert page.partition("\n## Not in this report")[0] == PAGE
    assert BLOCKS["doors.yaml"].startswith("pack: doors")
    assert FIRST.name == "doors"
