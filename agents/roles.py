"""What each role of a worker is made of. Imported per role: the dry side never loads what the wet side needs."""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from sidechain.agents.priority import step_back
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.worker import Role, Setting

log = logging.getLogger(__name__)


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
    )
    return Role(worker.run)


def wet(setting: Setting) -> Role:
    """Scores and advises."""
    if find_spec("sklearn") is None or find_spec("numpy") is None:
        raise EnvironmentProblem("the wet worker needs numpy and scikit-learn: pip install 'sidechain[wet]'")
    from sidechain.agents.metrics import WetMetrics
    from sidechain.agents.wet.worker import WetWorker

    config = setting.config
    step_back(config.wet_nice)
    metrics = WetMetrics(setting.registered)
    worker = WetWorker(setting.app, setting.policy, setting.options, config.topic, config.topic_prefix, metrics)
    return Role(worker.run)


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
