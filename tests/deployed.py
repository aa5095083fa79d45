"""The deployed files as data, for the tests that check them: dashboard, compose file, alerts, metrics."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sidechain.agents.metrics import (
    AggregatorMetrics,
    DriftMetrics,
    DryMetrics,
    ShadowMetrics,
    TapMetrics,
    TrainerMetrics,
    WetMetrics,
    registry,
)
from sidechain.agents.watching_metrics import OptimizerMetrics, Processor, SentinelMetrics, StreamMetrics
from sidechain.agents.wet.panel_metrics import PanelSeries
from sidechain.models.policy import Wet
from sidechain.models.wet.experts.panel import CONSENSUS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def _wet(registered: CollectorRegistry) -> SimpleNamespace:
    """What the wet worker tells under a pack that chooses no experts, its panel's series among the others."""
    wet, panel = vars(WetMetrics(registered)), vars(PanelSeries(registered, (*Wet(vector=("a",)).experts, CONSENSUS)))
    del wet["registered"], wet["panel"], panel["names"]
    return SimpleNamespace(**wet, **{f"panel_{name}": series for name, series in panel.items()})


def _drift(registered: CollectorRegistry) -> SimpleNamespace:
    """What the drift worker tells, of models and of metrics."""
    streams = {f"metric_{name}": series for name, series in vars(StreamMetrics(registered)).items()}
    return SimpleNamespace(**vars(DriftMetrics(registered)), **streams)


METRICS = {
    "dry": DryMetrics,
    "tap": TapMetrics,
    "wet": _wet,
    "aggregator": AggregatorMetrics,
    "shadow": ShadowMetrics,
    "drift": _drift,
    "trainer": TrainerMetrics,
    "optimizer": OptimizerMetrics,
    "sentinel": SentinelMetrics,
}
_OURS = re.compile(r"\bsidechain_\w+")


def from_yaml(path: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def registered(role: str) -> CollectorRegistry:
    """The registry of a worker that has seen nothing yet."""
    made = registry()
    Processor(made, lambda: (0.0, 0.0))
    METRICS[role](made)
    return made


def samples(role: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a worker that has seen nothing shows when it is scraped: (name, labels) -> value."""
    text = generate_latest(registered(role)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def stored_names() -> set[str]:
    """The name of every series any worker exposes."""
    return {name for role in METRICS for name, _ in samples(role)}


def metrics_in(expression: str) -> set[str]:
    """Our metrics a PromQL expression names."""
    return set(_OURS.findall(expression))


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that draw something, also those inside a folded row."""
    outer = dashboard["panels"]
    every = [*outer, *(inner for one in outer for inner in one.get("panels", ()))]
    return [one for one in every if one["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, expression) of everything that is drawn on any dashboard."""
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text(encoding="utf-8"))):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']} {target['refId']}", target["expr"]


def prometheus_tool(name: str) -> str:
    """The path of `prometheus` or `promtool`; without it the test is skipped, loudly."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NO {name.upper()}, so queries and alerts are not tried: apt-get install prometheus")
    return found
