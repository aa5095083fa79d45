"""Governance from a pack to the page an auditor reads, by the commands people use and without a broker."""

import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from sidechain.agents.cli import build
from tests.unit.test_fold_budgets import T0
from tests.unit.test_fold_governance import CALM, TEXT


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(build([str(words[0])]), list(map(str, words)), catch_exceptions=False)


def asked(number: int, amount: int = 1_000, **more: object) -> dict[str, object]:
    at = T0 + number * 60_000
    return {"id": f"q{number}", "badge": "b", "at": at, "amount": amount, **CALM, "prompt": f"p{number}", **more}


def test_from_a_pack_to_the_page(tmp_path: Path) -> None:
    """Three requests cost far more than was held for them: the fourth is held at half; the fifth is known already."""
    events = [*(asked(number, parts=9) for number in range(4)), asked(4, prompt="p0"), asked(5, 20_000)]
    outcomes = [{"id": f"q{number}", "at": T0 + number * 60_000 + 1, "cost_minor": 2_000} for number in range(3)]
    (tmp_path / "llm.yaml").write_text(TEXT)
    for name, records in (("events", events), ("outcomes", outcomes)):
        (tmp_path / name).write_text("".join(f"{json.dumps(one)}\n" for one in records))
    policy = ["--policy", tmp_path / "llm.yaml"]
    done = run("decide", *policy, "--outcomes", tmp_path / "outcomes", tmp_path / "events")
    entries = tmp_path / "decisions-0.ndjson"
    entries.write_bytes(done.stdout_bytes)
    files = ["--events", tmp_path / "events", "--outcomes", tmp_path / "outcomes", "--decisions", entries]
    assert run("replay", *policy, *files).exit_code == 0
    said = [json.loads(line) for line in done.stdout_bytes.splitlines()]
    governed = {one["id"]: one["budget"]["governed"] for one in said if one["kind"] == "decision"}
    assert [(one["why"], one["cost"]) for one in governed.values()] == [
        ("within_budget", 1_500),
        ("within_budget", 1_500),
        ("within_budget", 1_500),
        ("budget_tripwire_active", 750),
        ("insight_found", 0),
        ("exceeds_approval_threshold", 0),
    ]
    report = tmp_path / "report.json"
    report.write_bytes(run("report", entries, *policy, "--format", "json").stdout_bytes)
    totals = json.loads(report.read_bytes())["totals"]
    assert totals["governance"]["saved"] == {
        "budget_tripwire_active": {"decisions": 1, "sum_minor": 750},
        "insight_found": {"decisions": 1, "sum_minor": 1_000},
    }
    assert totals["governance"]["tripwire"] == {"breach": 2, "downgraded": 1}
    assert totals["budgets"]["tokens_day"]["spent_minor"] == 6_000
    assert run("verify", entries, *policy, "--report", report).exit_code == 0
    assert "| insight\\_found | 1 | 1,000 |" in run("report", entries, *policy).stdout
    sides = ["--events", tmp_path / "events", *policy]
    told = [run("explain", f"q{number}", "--file", entries, *sides).stdout for number in (2, 3, 4, 5)]
    assert "governance: the cost is one breach too many; requests are held at a part of their cost" in told[0]
    assert "1,000 x 1.5 (complexity); 750 to be held; the account's use is normal" in told[1]
    assert "governance: insight, because it was found out already by entry 0" in told[2]
    assert (
        "governance of tokens_day: it costs so much that a person approves it first, which asks for review" in told[3]
    )
    assert "no other value of anything the rules read would alone have been decided otherwise" in told[3]
