"""Alerts: each asks somebody to do something, has a section in the runbook, and has been seen quiet and firing."""

import re
import subprocess

import pytest
import yaml

from sidechain.models.wet import readings, triage, watch
from tests.deployed import DEPLOY, ROOT, from_yaml, metrics_in, prometheus_tool, stored_names

PROMETHEUS = DEPLOY / "prometheus"
RULES = [rule for group in from_yaml("deploy/prometheus/rules.yml")["groups"] for rule in group["rules"]]
EVERY_RULE = pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=f"{rule['alert']}-{rule['labels']['severity']}") for rule in RULES]
)


def headings(name: str) -> list[str]:
    """The second-level headings of a Markdown file, as the anchors GitHub makes of them."""
    titles = re.findall(r"^## (.+)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles]


@EVERY_RULE
def test_an_alert_says_what_to_do(rule):
    """Summary, description, how urgent, and a runbook section that exists."""
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in headings(file)
    assert anchor == rule["alert"].lower()


@EVERY_RULE
def test_an_alert_reads_metrics_that_exist(rule):
    """A renamed metric makes an alert silent for ever, and nobody notices."""
    assert metrics_in(rule["expr"]) <= stored_names()


def test_the_runbook_has_no_section_without_its_alert():
    """Both ways: a section for an alert that is gone sends people the wrong way."""
    assert set(headings("deploy/runbook.md")) == {rule["alert"].lower() for rule in RULES}


def test_the_triage_knows_every_alert_and_where_to_read_on():
    """An incident links to the runbook; a rule nobody wrote down there would lead nowhere."""
    assert {one for one in triage.RULES if one.startswith("Sidechain")} == {rule["alert"] for rule in RULES} - {
        "SidechainWatchdog"
    }
    for one in triage.RULES:
        file, _, anchor = triage.link(one).partition("#")
        assert anchor in headings(file), one


def test_what_is_looked_at_without_a_prometheus_exists():
    """Metrics the optimizer and the sentinel read by name, and the severity the rules of Prometheus give the same."""
    told = {one for role in readings.ROLES for one in (role.done, role.lag)} | {*watch.UNREADABLE, readings.CPU}
    told |= {readings.FULLEST, readings.PARTITIONS, readings.AGE, readings.CPU_WAIT, "sidechain_overflow_level"}
    told |= {f"{role.batch}_bucket" for role in readings.ROLES} | {"sidechain_bottleneck", readings.ABOVE}
    told |= {
        readings.FULLEST_PARTITION,
        readings.FULLEST_ARRIVALS,
        readings.BATCHES,
        readings.EXPLAINING,
        readings.SHARE,
    }
    assert told <= stored_names()
    severities = {(rule["alert"], rule["labels"]["severity"]) for rule in RULES}
    assert {(one.name, one.severity) for one in watch.RULES} <= severities


def test_the_wet_side_wakes_nobody():
    """No decision waits for it, so nothing it does is a page."""
    groups = {group["name"]: group["rules"] for group in from_yaml("deploy/prometheus/rules.yml")["groups"]}
    assert {rule["labels"]["severity"] for rule in groups["sidechain-wet"]} == {"ticket"}
    wet = re.compile(r"wet|tap|score|shadow|drift|trainer")
    for rule in groups["sidechain-dry"]:
        assert not wet.search(rule["expr"]), rule["alert"]


def test_every_alert_is_seen_quiet_and_firing():
    """In rules_test.yml, at least once each; the watchdog is never quiet."""
    asked = [
        case for test in from_yaml("deploy/prometheus/rules_test.yml")["tests"] for case in test["alert_rule_test"]
    ]
    firing = {case["alertname"] for case in asked if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in asked if not case.get("exp_alerts")}
    every = {rule["alert"] for rule in RULES}
    assert firing == every
    assert quiet == every - {"SidechainWatchdog"}


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts(words):
    """Syntax, names and the alerts' own tests, by Prometheus' own tool."""
    done = subprocess.run(
        [prometheus_tool("promtool"), *words], capture_output=True, text=True, timeout=60, cwd=PROMETHEUS
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("sidechain_lanes_halted > 0", "sidechain_lanes_halted > 1"),
        ("last_commit_timestamp_seconds > 60", "last_commit_timestamp_seconds > 600"),
        ("checkpoint_last_timestamp_seconds > 60", "checkpoint_last_timestamp_seconds > 600"),
        ("sidechain_checkpoint_last_timestamp_seconds > 0\n", "sidechain_checkpoint_last_timestamp_seconds >= 0\n"),
        ("sidechain_lag_records > 0 and", "sidechain_lag_records > -1 and"),
        ("[10m]) > 2", "[10m]) > 0"),
        ("(increase(sidechain_dead_letters_total[10m])) > 0", "(sidechain_dead_letters_total) > 0"),
        ("for: 1m", "for: 2m"),
        ("/ clamp_min(sum by (job) (rate(sidechain_scores_total[5m])), 1)", "/ 1"),
        ("clamp_min(sum by (job) (rate(sidechain_scores_total[5m])), 1)", "sum by (job) (sidechain_scores_total)"),
        ('{result="dropped"}[10m]', "[10m]"),
        ("(sidechain_tap_unreadable_total[10m])", "(sidechain_wet_unreadable_total[10m])"),
        ("(sidechain_wet_unreadable_total[10m])", "(sidechain_tap_unreadable_total[10m])"),
        ("sidechain_shadow_broken_chains > 0", "sidechain_shadow_broken_chains > 1"),
        (
            "rate(sidechain_shadow_inputs_total[5m])), 1) > 14400",
            "rate(sidechain_shadow_inputs_total[5m])), 1) > 18000",
        ),
        ("/ clamp_min(max by (job) (rate(sidechain_shadow_inputs_total[5m])), 1)", "/ 1"),
        ('result="failed"', 'result="restored"'),
        (
            'up{job=~"sidechain-(tap|wet|aggregator|shadow|drift|trainer|optimizer|sentinel)"} == 0',
            'up{job=~"sidechain-(tap|wet|aggregator|shadow|drift|trainer|optimizer|sentinel)"} == 2',
        ),
        ("(sidechain_aggregator_unreadable_total[10m])", "(sidechain_wet_unreadable_total[10m])"),
        ("(sidechain_learned_unreadable_total[10m])", "(sidechain_wet_unreadable_total[10m])"),
        ("(sidechain_drift_unreadable_total[10m])", "(sidechain_wet_unreadable_total[10m])"),
        ("sidechain_drift_alarms_standing > 0", "sidechain_drift_alarms_standing > 1"),
        ("for: 1h", "for: 10m"),
        ("(sidechain_sentinel_unreadable_total[10m])", "(sidechain_wet_unreadable_total[10m])"),
        ("(sidechain_overflow_level) >= 2", "(sidechain_overflow_level) >= 1"),
        ("(sidechain_overflow_level) >= 2", "(sidechain_overflow_level) >= 3"),
        ("(sidechain_expert_trips_total[10m])", "(sidechain_expert_faults_total[10m])"),
        ("(sidechain_trainer_missed_total[1h])", "(sidechain_trainer_missed_total[1m])"),
        ('{result=~"failed|timeout"}', '{result=~"failed"}'),
        ("sidechain_metric_anomalies_standing > 0", "sidechain_metric_anomalies_standing > 1"),
        ("(sidechain_bottleneck) == 1", "(sidechain_bottleneck) >= 0"),
        ('result=~"refused|dropped"', 'result=~"refused"'),
        ('{result=~"refused|dropped"}', ""),
        ('up{job="sidechain-dry"} == 0', 'up{job=~"sidechain-.+"} == 0'),
        ("vector(1)", "vector(1) > 1"),
    ],
)
def test_the_alerts_tests_notice_a_wrong_alert(tmp_path, was, becomes):
    """Each alert made wrong in turn; tests that pass then would be decoration.

    What became wrong is tried with its own cases alone: an alert knows of no other.
    """
    text = (PROMETHEUS / "rules.yml").read_text(encoding="utf-8")
    assert was in text
    wrong = yaml.safe_load(text.replace(was, becomes))
    altered = {rule["alert"] for group in wrong["groups"] for rule in group["rules"] if rule not in RULES}
    for group in wrong["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] in altered]
    # As text: `0x80`, eighty-one zeros, is a number to whoever reads YAML whole.
    tried = yaml.load((PROMETHEUS / "rules_test.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    for test in tried["tests"]:
        test["alert_rule_test"] = [case for case in test["alert_rule_test"] if case["alertname"] in altered]
    tried["tests"] = [test for test in tried["tests"] if test["alert_rule_test"]]
    for name, document in (("rules.yml", wrong), ("rules_test.yml", tried)):
        (tmp_path / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [prometheus_tool("promtool"), "test", "rules", "rules_test.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert any(f"alertname: {alert}, time:" in said for alert in altered), said
