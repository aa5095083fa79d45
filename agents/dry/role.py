"""How the dry worker is made out of the settings."""

import logging
from collections.abc import Callable
from functools import partial

from sidechain.agents.dry.worker import DryWorker
from sidechain.agents.metrics import DryMetrics
from sidechain.agents.pseudonym import Pseudonyms
from sidechain.agents.worker import Setting
from sidechain.models.pack_file import load

log = logging.getLogger(__name__)


def make(setting: Setting) -> DryWorker:
    """The dry worker, not started."""
    return DryWorker(
        setting.app,
        setting.policy,
        setting.config,
        setting.options,
        _metadata_name(setting),
        partial(load, name="control"),
        DryMetrics(setting.registered),
    )


def _metadata_name(setting: Setting) -> Callable[[str], str]:
    """An event's key -> the key the wet side speaks of it under."""
    key = setting.policy.event.role("key")
    if not key.personal:
        return str
    secret = setting.secret
    if secret is None:
        if setting.policy.signals:
            log.warning("the key is personal and pseudonym_key_file is not set: every signal stays unknown")
        return lambda _: ""
    return Pseudonyms(secret, key.name)
