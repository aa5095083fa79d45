"""What each role of a worker is made of. Imported per role: the dry side never loads what the wet side needs."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sidechain.agents.priority import one_thread, step_back
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.worker import Role, Setting
from sidechain.models.policy import Policy

log = logging.getLogger(__name__)

_Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def dry(setting: Setting) -> Role:
    """Decides."""
    from sidechain.agents.checkpoints import load_keys
    from sidechain.agents.dry.worker import DryWorker
    from sidechain.agents.metrics import DryMetrics
    from sidechain.models.pack_file import load

    worker = DryWorker(
        setting.app,
        setting.policy,
        setting.config,
        setting.options,
        _metadata_name(setting),
        partial(load, name="control"),
        DryMetrics(setting.registered),
        load_keys(setting.config),
        _subject_names(setting),
    )
    return Role(worker.run, worker.prepare, worker.close)


def tap(setting: Setting) -> Role:
    """Copies what was decided to the wet side."""
    from sidechain.agents.metrics import TapMetrics
    from sidechain.agents.tap import TapWorker

    config = setting.config
    step_back(config.wet_nice)
    worker = TapWorker(
        setting.app,
        setting.policy,
        setting.secret,
        setting.options,
        config.topic,
        config.topic_prefix,
        TapMetrics(setting.registered),
        max_lag=config.tap_max_lag,
        gather_ms=config.wet_gather_ms,
        share=config.share,
    )
    return Role(worker.run)


def wet(setting: Setting) -> Role:
    """Scores and advises."""
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("the wet worker needs numpy and scikit-learn: pip install 'sidechain[wet]'")
    from sidechain.agents.metrics import WetMetrics
    from sidechain.agents.model_files import ModelFiles
    from sidechain.agents.wet.worker import WetWorker

    config = setting.config
    step_back(config.wet_nice)
    one_thread()
    metrics = WetMetrics(setting.registered)
    files = ModelFiles(config.models_folder)
    worker = WetWorker(
        setting.app,
        setting.policy,
        setting.options,
        config.topic,
        config.topic_prefix,
        metrics,
        files,
        max_lag=config.wet_max_lag,
        gather_ms=config.wet_gather_ms,
        share=config.share,
    )
    return Role(worker.run)


def aggregator(setting: Setting) -> Role:
    """Learns from outcomes what many keys share, and tells."""
    from sidechain.agents.metrics import AggregatorMetrics
    from sidechain.agents.wet.aggregator import AggregatorWorker

    config = setting.config
    step_back(config.wet_nice)
    metrics = AggregatorMetrics(setting.registered)
    worker = AggregatorWorker(setting.policy, setting.options, config.topic, config.topic_prefix, metrics)
    return Role(worker.run)


def drift(setting: Setting) -> Role:
    """Watches what comes in, how well it is scored, and metrics, and says when one is not as it was."""
    if find_spec("river") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("the drift worker needs numpy and river: pip install 'sidechain[wet]'")
    from sidechain.agents.metrics import DriftMetrics
    from sidechain.agents.watching_metrics import StreamMetrics
    from sidechain.agents.wet.drift import DriftWorker, Watch
    from sidechain.agents.wet.metric_watch import MetricWorker
    from sidechain.agents.wet.scrape import scraped, targets
    from sidechain.models.wet.metric_watch import MetricWatch
    from sidechain.models.wet.own_metrics import EDGES

    config, registered = setting.config, setting.registered
    step_back(config.wet_nice)
    wet = setting.policy.wet
    scrape = partial(scraped, targets(config.metrics_targets)) if config.metrics_targets else None
    pack = setting.policy.name if "champion" in wet.experts else None
    told = DriftMetrics(registered, wet.vector)
    models = DriftWorker(Watch(wet), setting.options, config.topic, told, pack=pack)
    metrics = MetricWorker(MetricWatch(EDGES), scrape, setting.options, config.topic, StreamMetrics(registered))
    return Role(partial(_side_by_side, models.run, metrics.run))


async def _side_by_side(one: _Run, other: _Run, stop: asyncio.Event) -> None:
    """Both, until `stop`; what one of them raises ends the other, too."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(one(stop))
            group.create_task(other(stop))
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from faults


def trainer(setting: Setting) -> Role:
    """Learns champions from outcomes, tries them, and asks people."""
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("the trainer needs numpy and scikit-learn: pip install 'sidechain[wet]'")
    from sidechain.agents.metrics import TrainerMetrics
    from sidechain.agents.model_files import ModelFiles
    from sidechain.agents.wet.trainer import TrainerWorker

    config = setting.config
    step_back(config.wet_nice)
    one_thread()
    files, metrics = ModelFiles(config.models_folder), TrainerMetrics(setting.registered)
    worker = TrainerWorker(setting.policy, files, setting.options, config.topic, config.topic_prefix, metrics)
    return Role(worker.run)


def optimizer(setting: Setting) -> Role:
    """Names what holds up the pipeline, and proposes what would help."""
    from sidechain.agents.proposals import propose
    from sidechain.agents.reader import Reader
    from sidechain.agents.watching_metrics import OptimizerMetrics
    from sidechain.agents.wet.optimizer import OptimizerWorker
    from sidechain.agents.wet.scrape import scraped, targets
    from sidechain.models.wet.remedies import Given

    config = setting.config
    step_back(config.wet_nice)
    worker = OptimizerWorker(
        setting.policy.name,
        Given(config.batch_max_records, setting.policy.wet.sample_bp, setting.policy.wet.explain_above_bp),
        partial(scraped, targets(config.metrics_targets)),
        partial(propose, config),
        OptimizerMetrics(setting.registered),
        Reader(setting.options, config.topic("human.proposals")),
    )
    return Role(worker.run)


def sentinel(setting: Setting) -> Role:
    """Puts alerts together to incidents, and tells of them."""
    from sidechain.agents.watching_metrics import SentinelMetrics
    from sidechain.agents.wet.http import address
    from sidechain.agents.wet.scrape import scraped, targets
    from sidechain.agents.wet.sentinel import SentinelWorker, Sources
    from sidechain.agents.wet.webhook import Webhook

    config = setting.config
    step_back(config.wet_nice)
    metrics = SentinelMetrics(setting.registered)
    prometheus = None
    if config.prometheus_url is not None:
        prometheus = address(config.prometheus_url.rstrip("/") + "/api/v1/alerts", "prometheus_url")
    webhook = None
    if config.webhook_url is not None:
        where = address(config.webhook_url, "webhook_url")
        webhook = Webhook(where, config.webhook_secret_file, metrics.webhook)
    scrape = partial(scraped, targets(config.metrics_targets)) if config.metrics_targets else None
    sources = Sources(scrape, prometheus, metrics.prometheus)
    worker = SentinelWorker(sources, webhook, setting.options, config.topic, config.topic_prefix, metrics)
    return Role(worker.run)


def _subject_names(setting: Setting) -> Mapping[str, Callable[[str], str]]:
    """Of each learned signal: what it is of -> the name the wet side speaks of it under."""
    from sidechain.agents.subjects import subject_names

    try:
        return subject_names(setting.policy, setting.secret)
    except EnvironmentProblem as problem:
        log.warning("%s; what was learned stays unknown", problem)
        return {one.name: lambda _: "" for one in setting.policy.signals}  # nothing is told of an empty name


def shadow(setting: Setting, candidates: Sequence[Path], value: str | None) -> Role:
    """Decides what is decided once more, under candidate policies."""
    from sidechain.agents.backtest import stake_field, stake_of
    from sidechain.agents.metrics import ShadowMetrics
    from sidechain.agents.wet.shadow import ShadowWorker

    config = setting.config
    policies = _candidates(setting.policy, candidates)
    stake = stake_field(policies[0], value)
    step_back(config.wet_nice)
    metrics = ShadowMetrics(setting.registered, [one.ref for one in policies])
    return Role(ShadowWorker(policies, (stake, stake_of(stake)), setting.options, config.topic, metrics).run)


def _candidates(policy: Policy, files: Sequence[Path]) -> list[Policy]:
    """The candidates. Raises `UsageProblem` for what no chain of this pack can be held against."""
    from sidechain.agents.wet.shadow import CANDIDATES
    from sidechain.models.pack_file import load_file

    if len(files) > CANDIDATES:
        raise UsageProblem(f"{len(files)} candidates are too many for one shadow: at most {CANDIDATES}; start another")
    policies: dict[str, Policy] = {}
    for file in files:
        one = load_file(file)
        if one.name != policy.name:
            raise UsageProblem(f"{file} is a policy of pack {one.name}, and the chains are of pack {policy.name}")
        if one.ref in policies:
            raise UsageProblem(f"{file} is {one.ref} again: name each candidate once")
        policies[one.ref] = one
    return list(policies.values())


def _metadata_name(setting: Setting) -> Callable[[str], str]:
    """An event's key -> the key the wet side speaks of it under."""
    from sidechain.agents.pseudonym import Pseudonyms

    key = setting.policy.event.role("key")
    if not key.personal:
        return str
    secret = setting.secret
    if secret is None:
        if setting.policy.signals:
            log.warning("the key is personal and pseudonym_key_file is not set: every signal stays unknown")
        return lambda _: ""
    return Pseudonyms(secret, key.name)
