"""Metrics as a real Prometheus sees them: served, scraped, and every panel's query answered with numbers.

The registries are those of the workers, filled by hand: what a worker counts is tested with the worker. Prometheus is
the system's own, on a loopback port, with a data folder of the test's.
"""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import isfinite
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client import generate_latest

from sidechain.agents.metrics import registry, serve
from sidechain.agents.watching_metrics import BECAME, DELIVERED, Processor
from sidechain.models.dry.parse import REASONS
from sidechain.models.dry.settling import VERDICTS
from sidechain.models.policy import ACTIONS
from tests.deployed import DEPLOY, METRICS, prometheus_tool, queries, registered, samples

PATIENCE_S = 30.0
KINDS = ("decision", "duplicate", "rejected", "settlement", "refused-outcome", "policy", "list", "debit", "credit")
LABEL_VALUES = 20  # of one label; more than a handful is a list somebody must mean to have
SERIES = 200  # of one worker
# A build has a version. An expert nobody has judged yet has no Brier score, which is not 0, and its word counts.
NEVER_ZERO = {
    "sidechain_build_info",
    "sidechain_expert_calibration_brier",
    "sidechain_expert_calibration_error_ratio",
    "sidechain_expert_skill_ratio",
}


@pytest.mark.parametrize("role", METRICS)
def test_promtool_accepts_what_is_served(role):
    """Every metric has a help text, base units, and a name as Prometheus wants it."""
    done = subprocess.run(
        [prometheus_tool("promtool"), "check", "metrics"], input=generate_latest(registered(role)), capture_output=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.parametrize("role", METRICS)
def test_every_series_is_at_zero_before_the_first_event(role):
    """A series that appears with its first fault has no rise that an alert could see."""
    shown = samples(role)
    assert {key for key, value in shown.items() if value != 0} == {key for key in shown if key[0] in NEVER_ZERO}


@pytest.mark.parametrize(
    ("role", "name", "label", "values"),
    [
        ("dry", "decisions_total", "action", ACTIONS),
        ("dry", "advice_forgotten_total", "what", ("metadata", "signals")),
        ("dry", "dead_letters_total", "reason", REASONS),
        ("dry", "entries_total", "kind", KINDS),
        ("dry", "outcomes_refused_total", "reason", (*VERDICTS, "unreadable")),
        ("dry", "signals_total", "found", ("value", "absent", "stale", "future", "bounds")),
        ("dry", "repairs_total", "kind", ("gap", "epoch")),
        ("dry", "takeovers_total", "result", ("genesis", "restored", "continued", "failed")),
        ("aggregator", "aggregator_cases_total", "result", ("decision", "learned", "undecided", "late", "repeated")),
        ("tap", "taps_total", "result", ("sent", "sampled_out", "shed", "dropped")),
        ("sentinel", "sentinel_alerts_total", "result", BECAME),
        ("sentinel", "sentinel_webhook_total", "result", DELIVERED),
        ("wet", "scores_total", "state", ("scored", "warming", "silent")),
        ("wet", "model_fits_total", "result", ("swapped", "failed", "timeout")),
        ("wet", "metadata_total", "level", ("normal", "raised", "critical")),
        ("wet", "compensations_total", "result", ("sent", "suppressed", "repeated")),
    ],
)
def test_each_value_of_a_label_has_its_series(role, name, label, values):
    """All of them from the start, and none that is not one of the contract's."""
    found = {dict(labels)[label] for series, labels in samples(role) if series == f"sidechain_{name}"}
    assert found == set(values)


@pytest.mark.parametrize("role", METRICS)
def test_labels_stay_within_their_budget(role):
    """Closed sets, never ids: a label's values and a worker's series are bounded before anybody runs it."""
    values: dict[tuple[str, str], set[str]] = {}
    for name, labels in samples(role):
        for label, value in labels:
            values.setdefault((name, label), set()).add(value)
    assert {key for key, found in values.items() if len(found) > LABEL_VALUES} == set()
    assert len(samples(role)) <= SERIES


class Prometheus:
    """A running server of the test's own; `ask` speaks its HTTP interface."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """The decoded answer; a refusal with its reason is an answer too. Not ready yet: HTTPError."""
        try:
            with urlopen(f"{self.address}/api/v1/{path}?{urlencode(parameters)}", timeout=5) as answer:
                return json.load(answer)
        except HTTPError as refused:
            if refused.headers.get_content_type() != "application/json":
                raise
            return json.load(refused)

    def lines(self, expression: str) -> dict[str, Any]:
        """What a panel would draw of the last ten seconds."""
        now = time.time()
        return self.ask("query_range", query=expression, start=str(now - 10), end=str(now), step="1")


def configuration(folder: Path, ports: dict[str, int]) -> Path:
    """The deployed configuration as one with every role has it, with our ports in it, and scraping fast enough."""
    lines = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8").splitlines()
    told = [
        line[2:] if re.match("# {3}- job_name|# {5}static_configs|# {7}- targets", line) else line for line in lines
    ]
    ours = yaml.safe_load("\n".join(told))
    ours["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    ours["rule_files"] = [str(DEPLOY / "prometheus" / "rules.yml")]
    for job in ours["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name'].removeprefix('sidechain-')]}"]}]
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(ours), encoding="utf-8")
    return written


def stir(metrics: list[Any], ended: Event) -> None:
    """Something of everything happens, ten times a second, until `ended`."""
    for turn in count():
        for one in metrics:
            for metric in vars(one).values():
                for child in metric.values() if isinstance(metric, dict) else [metric]:
                    if hasattr(child, "observe"):
                        child.observe(0.001 * (turn % 50))
                    elif hasattr(child, "set"):
                        child.set(turn)
                    else:
                        child.inc()
        if ended.wait(0.1):
            return


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that scrapes a served registry of each role, with something going on in all of them."""
    program = prometheus_tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    ports, metrics = {}, []
    for role, kind in METRICS.items():
        served = registry()
        Processor(served, lambda: (time.monotonic(), time.monotonic() / 2))
        metrics.append(kind(served))
        ports[role] = serve(served, "127.0.0.1", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program,
        f"--config.file={configuration(folder, ports)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    ended = Event()
    with (folder / "log").open("wb") as log, ThreadPoolExecutor(1) as beside:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stirring = beside.submit(stir, metrics, ended)
        try:
            running = Prometheus(f"http://{address}")
            wait_for_scrapes(running, server, folder / "log")
            yield running
        finally:
            ended.set()
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(10)
    stirring.result()


def wait_for_scrapes(running: Prometheus, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until every role has been scraped often enough for a rate, bounded."""
    answer: Any = None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        try:
            answer = running.ask("query", query="count_over_time(sidechain_build_info[1m]) > 12")
        except (URLError, ConnectionError) as not_yet:
            answer = str(not_yet)
        else:
            if len(answer["data"]["result"]) == len(METRICS):
                return
        time.sleep(0.1)
    pytest.fail(f"not scraped within {PATIENCE_S:.0f} s: {answer}; {log.read_text(encoding='utf-8')[-2000:]}")


def filled_in(expression: str) -> str:
    """The expression as Grafana sends it when nothing is chosen, at four times the scrape interval."""
    for variable, value in {"$__rate_interval": "2s", "$job": ".+", "$instance": ".+"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("expression", [pytest.param(text, id=where) for where, text in queries()])
def test_every_panel_draws_numbers(prometheus: Prometheus, expression):
    """target-promql and more: it parses, it has series, and their values are numbers, without a warning."""
    query = filled_in(expression)
    parsed = prometheus.ask("format_query", query=query)
    assert parsed["status"] == "success", parsed
    answer = prometheus.lines(query)
    assert answer["status"] == "success", answer
    assert not answer.get("warnings"), answer
    series = answer["data"]["result"]
    assert series, f"no data for {query}"
    for one in series:
        values = [float(value) for _, value in one["values"]]
        assert any(isfinite(value) for value in values), one
    moving = [float(value) for one in series for _, value in one["values"]]
    assert max(value for value in moving if isfinite(value)) > 0, f"nothing ever moves in {query}"


def test_a_query_with_a_mistake_is_found(prometheus: Prometheus):
    """The test above can fail: a misspelt metric has no series, a bracket too few does not parse."""
    assert prometheus.lines("sum(rate(sidechain_decisionz_total[2s]))")["data"]["result"] == []
    assert prometheus.ask("format_query", query="sum(rate(sidechain_decisions_total[2s])")["status"] == "error"


def test_the_alerts_are_evaluated(prometheus: Prometheus):
    """All loaded and healthy; and with a lane halted and a watchdog on duty, these two fire."""
    expected = {"SidechainWatchdog", "SidechainLaneHalted"}
    deadline = time.monotonic() + PATIENCE_S
    while True:  # a group is looked at every 15 s, and the first look may come before the first scrape
        rules = [rule for group in prometheus.ask("rules")["data"]["groups"] for rule in group["rules"]]
        firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
        evaluated = "unknown" not in {rule["health"] for rule in rules}
        if (evaluated and expected <= firing) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    deployed = re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    assert sorted(rule["name"] for rule in rules) == sorted(deployed)
    assert {rule["health"] for rule in rules} == {"ok"}, rules
    assert expected <= firing
