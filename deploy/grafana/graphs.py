"""What every panel and every dashboard has in common: queries, panels, the frame around them.

Names of metrics come from the objects of agents/metrics.py, so a renamed metric renames its panels, and a metric that
is gone stops the generator.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    VariableOption,
    VariableRefresh,
)
from prometheus_client.metrics import MetricWrapperBase

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
SELECTED: Final = '{job=~"$job",instance=~"$instance"}'
PER_SECOND: Final = "cps"
SECONDS: Final = "s"
COUNT: Final = "short"
COLOURS: Final = {
    "allow": "green",
    "monitor": "blue",
    "review": "orange",
    "block": "red",
    "normal": "green",
    "raised": "orange",
    "critical": "red",
    "failed": "red",
    "gap": "orange",
    "epoch": "orange",
    "dropped": "red",
    "halted": "red",
    "downgraded": "red",
    "breach": "orange",
    "unreadable": "red",
}

Metric = MetricWrapperBase | Mapping[Any, MetricWrapperBase]


@dataclass(frozen=True, kw_only=True)
class Query:
    """One line, or one line per label value, of a panel."""

    expression: str
    legend: str
    names: tuple[str, ...]  # of the lines it draws
    right_axis: str | None = None  # the unit of an axis of its own; None: the panel's


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One panel. Three of width 8 fill a line of the dashboard."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    stacked: bool = False


def graph(title: str, description: str, unit: str, *queries: Query, width: int = 8, stacked: bool = False) -> Graph:
    """One panel, as it is written in the rows."""
    return Graph(title=title, description=description, unit=unit, queries=queries, width=width, stacked=stacked)


def stored_name(metric: Metric) -> str:
    """The name under which Prometheus stores the samples: a histogram is read through its buckets."""
    bound = next(iter(metric.values())) if isinstance(metric, Mapping) else metric
    family = bound.describe()[0]
    return str(family.name) + {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")


def rate_by(
    label: str, metric: Mapping[str, MetricWrapperBase], legend: str = "", *, right_axis: str | None = None
) -> Query:
    """How often per second, a line per value of `label`; `legend` where its value alone would not do."""
    names = () if legend else tuple(metric)
    return summed_by(label, stored_name(metric), legend or f"{{{{{label}}}}}", names, right_axis=right_axis)


def summed_by(label: str, name: str, legend: str, names: Sequence[str] = (), *, right_axis: str | None = None) -> Query:
    """The same of what Prometheus stores under a name. `names`: of the lines, where they are known."""
    rate = f"rate({name}{SELECTED}[$__rate_interval])"
    return Query(expression=f"sum by ({label}) ({rate})", legend=legend, names=tuple(names), right_axis=right_axis)


def rate_of(metric: MetricWrapperBase, legend: str, *, right_axis: str | None = None) -> Query:
    """How often per second, one line."""
    rate = f"sum(rate({stored_name(metric)}{SELECTED}[$__rate_interval]))"
    return Query(expression=rate, legend=legend, names=(legend,), right_axis=right_axis)


def quantile(share: float, metric: Metric, legend: str) -> Query:
    """The `share` quantile over all selected workers, interpolated inside a bucket."""
    rate = f"rate({stored_name(metric)}{SELECTED}[$__rate_interval])"
    return Query(expression=f"histogram_quantile({share}, sum by (le) ({rate}))", legend=legend, names=(legend,))


def now(metric: Metric, legend: str, *, over: str = "sum", right_axis: str | None = None) -> Query:
    """A gauge over all selected workers: their sum, or their maximum."""
    return Query(
        expression=f"{over}({stored_name(metric)}{SELECTED})", legend=legend, names=(legend,), right_axis=right_axis
    )


def most_by(labels: Sequence[str], metric: Metric, legend: str = "", *, right_axis: str | None = None) -> Query:
    """A gauge by some of its labels, the largest of all selected workers."""
    expression = f"max by ({', '.join(labels)}) ({stored_name(metric)}{SELECTED})"
    legend = legend or ": ".join(f"{{{{{one}}}}}" for one in labels)
    return Query(expression=expression, legend=legend, names=(), right_axis=right_axis)


def panel(shown: Graph, number: int) -> timeseries.Panel:
    """The builder of one shown."""
    made = (
        timeseries.Panel()
        .id(number)
        .title(shown.title)
        .description(shown.description)
        .datasource(SOURCE)
        .unit(shown.unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if shown.stacked else 5)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if shown.stacked else StackingMode.NONE))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .height(10 if shown.width == 24 else 8)
        .span(shown.width)
    )
    for letter, query in zip(ascii_uppercase, shown.queries, strict=False):
        made.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .datasource(SOURCE)
            .expr(query.expression)
            .legend_format(query.legend)
            .range()
        )
        if query.right_axis is not None:
            made.override_by_query(
                letter,
                [
                    DynamicConfigValue(id_val="unit", value=query.right_axis),
                    DynamicConfigValue(id_val="custom.axisPlacement", value=AxisPlacement.RIGHT),
                ],
            )
        for name in query.names:
            if name in COLOURS:
                colour = {"mode": "fixed", "fixedColor": COLOURS[name]}
                made.override_by_name(name, [DynamicConfigValue(id_val="color", value=colour)])
    return made


def selector(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A drop-down over the values of a label; nothing chosen means all."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def board(uid: str, title: str, says: str, rows: Mapping[str, Iterable[Graph]]) -> dashboard.Dashboard:
    """The builder of a whole dashboard."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["sidechain"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(selector("job", "job", "label_values(sidechain_build_info, job)"))
        .with_variable(selector("instance", "instance", 'label_values(sidechain_build_info{job=~"$job"}, instance)'))
    )
    number = 0
    for name, graphs in rows.items():
        number += 1
        made.with_row(dashboard.Row(name).id(number))
        for one in graphs:
            number += 1
            made.with_panel(panel(one, number))
    return made
