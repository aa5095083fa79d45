"""From what workers show of themselves to one line a stage: rates and shares are what changed between two looks.

A worker is known by a series only its role has. A counter that fell is a worker that began anew: it counts from zero.
Several workers of a role are one stage: what they did and what waits is added up, the slowest quantile counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Final, NamedTuple

from sidechain.models.wet.bottleneck import Snapshot, Stage

Series = Mapping[tuple[tuple[str, str], ...], float]  # labels, sorted by name -> value
Samples = Mapping[str, Series]  # name -> its series


class Scrape(NamedTuple):
    """What one worker showed, or that it did not answer."""

    instance: str  # host:port
    at_ms: int
    samples: Samples | None  # None: no answer


class Role(NamedTuple):
    """Where a role says what it does. The first metric is the one it is known by."""

    name: str
    done: str  # counter of records done
    lag: str  # gauge of records that wait
    batch: str  # histogram of seconds over one batch


ROLES: Final = (
    Role("dry", "sidechain_entries_total", "sidechain_lag_records", "sidechain_decision_seconds"),
    Role("tap", "sidechain_taps_total", "sidechain_tap_lag_records", "sidechain_tap_seconds"),
    Role("wet", "sidechain_scores_total", "sidechain_wet_lag_records", "sidechain_score_seconds"),
    Role(
        "aggregator",
        "sidechain_aggregator_cases_total",
        "sidechain_aggregator_lag_records",
        "sidechain_aggregator_seconds",
    ),
    Role("drift", "sidechain_drift_records_total", "sidechain_drift_lag_records", "sidechain_drift_seconds"),
    Role("trainer", "sidechain_trainer_records_total", "sidechain_trainer_lag_records", "sidechain_trainer_seconds"),
    Role("shadow", "sidechain_shadow_inputs_total", "sidechain_shadow_lag_records", "sidechain_shadow_seconds"),
)
FULLEST: Final = "sidechain_fullest_records"
FULLEST_PARTITION: Final = "sidechain_fullest_partition"
FULLEST_ARRIVALS: Final = "sidechain_fullest_arrivals_per_second"
PARTITIONS: Final = "sidechain_partitions"
BATCHES: Final = "sidechain_batches_total"
EXPLAINING: Final = "sidechain_explain_seconds_total"
ABOVE: Final = "sidechain_scores_from_total"  # by `edge`, basis points
AGE: Final = "sidechain_queue_age_seconds"
CPU: Final = "sidechain_processor_seconds_total"
SHARE: Final = "sidechain_processor_share_ratio"
CPU_WAIT: Final = "sidechain_processor_wait_seconds_total"


def role_of(samples: Samples) -> str | None:
    """The role of whoever shows this; None for none of ours."""
    return next((one.name for one in ROLES if one.done in samples), None)


def total(samples: Samples, name: str, **labels: str) -> float | None:
    """The sum of a metric's series with these labels; None where there is none."""
    found = [value for have, value in samples.get(name, {}).items() if labels.items() <= dict(have).items()]
    return sum(found) if found else None


def rise(before: Samples, now: Samples, name: str, **labels: str) -> float | None:
    """By how much a counter rose between two looks; None where it is not shown."""
    late, early = total(now, name, **labels), total(before, name, **labels)
    if late is None:
        return None
    return late if early is None or late < early else late - early


def quantile(share: float, before: Samples, now: Samples, name: str) -> float | None:
    """The `share` quantile of what was observed between two looks, interpolated inside its bucket as Prometheus does.

    None where nothing was observed. In the last, open bucket: its lower edge.
    """
    edges = sorted({float(dict(have)["le"]) for have in now.get(f"{name}_bucket", {})})
    counts = [rise(before, now, f"{name}_bucket", le=_le(now, name, edge)) or 0.0 for edge in edges]
    if not counts or counts[-1] <= 0:
        return None
    wanted = share * counts[-1]
    at = next(number for number, count in enumerate(counts) if count >= wanted)
    low, under = (edges[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    if not isfinite(edges[at]):
        return low
    return low + (edges[at] - low) * (wanted - under) / max(counts[at] - under, 1e-12)


def _le(samples: Samples, name: str, edge: float) -> str:
    """The edge as it is written there."""
    return next(text for have in samples[f"{name}_bucket"] if float(text := dict(have)["le"]) == edge)


def snapshot(at_ms: int, before: Mapping[str, Scrape], now: Mapping[str, Scrape]) -> Snapshot:
    """Every stage that two looks tell something of. Keys: instances; both looks answered and the later one is newer."""
    by_role: dict[str, list[tuple[Scrape, Scrape]]] = {}
    for instance, late in now.items():
        early = before.get(instance)
        if early is None or early.samples is None or late.samples is None or late.at_ms <= early.at_ms:
            continue
        if (role := role_of(late.samples)) is not None:
            by_role.setdefault(role, []).append((early, late))
    stages = [_stage(one, by_role[one.name]) for one in ROLES if one.name in by_role]
    return Snapshot(at_ms, tuple(stages))


def _stage(role: Role, pairs: Sequence[tuple[Scrape, Scrape]]) -> Stage:
    lags = [_shown(late, role.lag) or 0.0 for _, late in pairs]
    hottest = max((late for _, late in pairs), key=lambda one: _shown(one, FULLEST) or 0.0)
    batches = _sum(_per_second(pair, BATCHES) for pair in pairs)
    rate = sum(_per_second(pair, role.done) or 0.0 for pair in pairs)
    return Stage(
        name=role.name,
        workers=len(pairs),
        rate=rate,
        lag=round(sum(lags)),
        hottest=round(_shown(hottest, FULLEST) or 0.0),
        partition=round(_shown(hottest, FULLEST_PARTITION) or 0.0),
        arrivals=_shown(hottest, FULLEST_ARRIVALS),
        partitions=max(1, round(sum(_shown(late, PARTITIONS) or 0.0 for _, late in pairs))),
        p50_s=_slowest(0.5, role, pairs),
        p99_s=_slowest(0.99, role, pairs),
        cpu=_sum(_per_second(pair, CPU) for pair in pairs),
        allowed=sum(_shown(late, SHARE) or 1.0 for _, late in pairs),  # who says nothing limits nothing
        waiting=_sum(_per_second(pair, CPU_WAIT) for pair in pairs),
        a_batch=rate / batches if batches else None,
        explaining=_sum(_per_second(pair, EXPLAINING) for pair in pairs),
        explained=_by_edge(pairs),
        age_s=max((value for _, late in pairs for value in (late.samples or {}).get(AGE, {}).values()), default=None),
    )


def _by_edge(pairs: Sequence[tuple[Scrape, Scrape]]) -> Mapping[int, float]:
    """Scores a second from each edge on; empty where nobody says."""
    edges = {dict(have)["edge"] for _, late in pairs for have in (late.samples or {}).get(ABOVE, {})}
    return {
        int(edge): _sum(_per_second(pair, ABOVE, edge=edge) for pair in pairs) or 0.0 for edge in sorted(edges, key=int)
    }


def _shown(scrape: Scrape, name: str) -> float | None:
    return total(scrape.samples or {}, name)


def _per_second(pair: tuple[Scrape, Scrape], name: str, **labels: str) -> float | None:
    early, late = pair
    rose = rise(early.samples or {}, late.samples or {}, name, **labels)
    return None if rose is None else rose * 1_000 / (late.at_ms - early.at_ms)


def _slowest(share: float, role: Role, pairs: Sequence[tuple[Scrape, Scrape]]) -> float | None:
    found = [quantile(share, early.samples or {}, late.samples or {}, role.batch) for early, late in pairs]
    known = [one for one in found if one is not None and one < inf]
    return max(known, default=None)


def _sum(values: Iterable[float | None]) -> float | None:
    """None where nobody says."""
    known = [one for one in values if one is not None]
    return sum(known) if known else None
