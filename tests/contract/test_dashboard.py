"""The dashboard without a Grafana: rules named as in Grafana's dashboard-linter, and metrics that really exist.

Kept of the linter's rules: template-datasource, template-job, template-instance, template-on-time-change-reload,
panel-datasource, panel-title-description, panel-units, panel-no-targets, target-rate-interval, target-job,
target-instance, target-counter-agg, uneditable-dashboard. Added: unique ids and uids, nothing overlaps, every metric
and label exists, the JSON is what the generator writes. target-promql stands in tests/kafka/test_metrics.py, where a
real Prometheus parses and answers every query.
"""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from tests.deployed import DASHBOARDS, DEPLOY, METRICS, metrics_in, panels, queries, samples, stored_names

UNITS = {"cps", "s", "short"}  # ids of Grafana's value formats: counts per second, seconds, a plain number
LINTED = [pytest.param(json.loads(path.read_text(encoding="utf-8")), id=path.stem) for path in DASHBOARDS]
EVERY_DASHBOARD = pytest.mark.parametrize("dashboard", LINTED)
EVERY_QUERY = pytest.mark.parametrize("expression", [pytest.param(text, id=where) for where, text in queries()])


def variable(dashboard, name):
    found = [one for one in dashboard["templating"]["list"] if one["name"] == name]
    assert len(found) == 1, f"one variable called {name} is expected"
    return found[0]


def test_the_dashboards_are_what_their_generator_writes(tmp_path: Path):
    """Regenerate and compare: a change by hand would be lost with the next change of a metric."""
    script = DEPLOY / "grafana" / "make_dashboards.py"
    again = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS}
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.json")}
    assert written == made, "run .venv/bin/python deploy/grafana/make_dashboards.py"


@EVERY_DASHBOARD
def test_template_datasource(dashboard):
    """Exactly one data source to choose, under the name everybody's dashboards use."""
    sources = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert [(one["name"], one["label"], one["query"]) for one in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@EVERY_DASHBOARD
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance(dashboard, name):
    """Both can be narrowed down; nothing chosen is everything, and workers that joined later appear."""
    found = variable(dashboard, name)
    assert (found["type"], found["label"], found["multi"], found["includeAll"]) == ("query", name, True, True)
    assert found["allValue"] == ".+"
    assert found["refresh"] == 2, "template-on-time-change-reload"
    assert found["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert metrics_in(found["query"]) <= stored_names()


@EVERY_DASHBOARD
def test_uneditable_dashboard(dashboard):
    """The file is the dashboard; its address stays the same over releases."""
    assert dashboard["editable"] is False
    assert re.fullmatch(r"[a-z0-9-]{1,40}", dashboard["uid"])
    assert dashboard["title"]


def test_addresses_of_dashboards_are_unique():
    """Two files with one uid would overwrite each other."""
    uids = [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in DASHBOARDS]
    assert uids, "no dashboard is committed"
    assert len(set(uids)) == len(uids)


@EVERY_DASHBOARD
def test_every_panel_says_what_it_shows(dashboard):
    """panel-datasource, panel-title-description, panel-units, panel-no-targets."""
    for panel in panels(dashboard):
        assert panel["title"], panel["id"]
        assert len(panel["description"]) > 20, f"{panel['title']} has no description worth reading"
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["targets"], f"{panel['title']} asks nothing"
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            units = [one["value"] for one in override["properties"] if one["id"] == "unit"]
            assert set(units) <= UNITS, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), f"{panel['title']}: two queries have one letter"
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"], panel["title"]
            assert target["legendFormat"], panel["title"]


@EVERY_DASHBOARD
def test_panels_stand_beside_each_other(dashboard):
    """Ids are unique; no two rectangles share a cell; nothing hangs over the edge."""
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["gridPos"], panel.get("title")) for panel in dashboard["panels"]]
    for place, title in places:
        assert place["x"] + place["w"] <= 24, title
    for (one, first), (two, second) in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= two["x"]
            or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"]
            or two["y"] + two["h"] <= one["y"]
        )
        assert apart, f"{first} and {second} overlap"


@EVERY_QUERY
def test_target_job_and_instance(expression):
    """Every selector heeds both drop-downs."""
    for metric in metrics_in(expression):
        for selector in re.findall(rf"\b{metric}\b(\{{[^}}]*\}})?", expression):
            assert 'job=~"$job"' in selector, expression
            assert 'instance=~"$instance"' in selector, expression


@EVERY_QUERY
def test_target_rate_interval(expression):
    """A fixed interval shows nothing when zoomed in and lies when zoomed out."""
    assert set(re.findall(r"\[([^\]]+)\]", expression)) <= {"$__rate_interval"}, expression


@EVERY_QUERY
def test_target_counter_agg(expression):
    """A counter is only read as a rate: its value alone is the time since the last restart. So with buckets."""
    for metric in metrics_in(expression):
        read_as_rate = len(re.findall(rf"\b(?:rate|increase)\({metric}\b", expression))
        if metric.endswith(("_total", "_bucket")):
            assert read_as_rate == len(re.findall(rf"\b{metric}\b", expression)), expression
        else:
            assert read_as_rate == 0, expression


@EVERY_QUERY
def test_every_metric_and_label_exists(expression):
    """What is drawn is exposed by a worker, and is split by labels it has. Catches a renamed metric."""
    named = metrics_in(expression)
    assert named, expression
    assert named <= stored_names(), expression
    have = {label for role in METRICS for name, labels in samples(role) if name in named for label, _ in labels} | {
        "job",
        "instance",
    }
    wanted = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    assert wanted <= have, expression


def test_the_first_dashboard_tells_the_whole_story():
    """One row a side and one for their isolation; ten to sixteen panels, more nobody reads."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "sidechain.json").read_text(encoding="utf-8"))
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Dry", "Wet", "Isolation"]
    assert 10 <= len(panels(dashboard)) <= 16


def test_latency_and_wet_lag_share_one_time_axis():
    """The claim made visible: the two lines stand in one picture, each with its own scale."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "sidechain.json").read_text(encoding="utf-8"))
    panel = panels(dashboard)[-1]
    drawn = [metrics_in(target["expr"]) for target in panel["targets"]]
    assert {"sidechain_decision_seconds_bucket"} in drawn
    assert {"sidechain_wet_lag_records"} in drawn
    lag = panel["targets"][drawn.index({"sidechain_wet_lag_records"})]["refId"]
    right = [
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if {"id": "custom.axisPlacement", "value": "right"} in override["properties"]
    ]
    assert lag in right
