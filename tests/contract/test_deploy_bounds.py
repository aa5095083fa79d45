"""The table of bounds in deploy/README.md says what the code does: every bound is in it, with its value."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from sidechain.agents.config import load

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| `([a-zA-Z_.]+)` \| (\d+(?:\.\d+)?) \|",
    (ROOT / "deploy" / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
SETTINGS = {name: float(value) for name, value in ROWS if "." not in name}
CONSTANTS = {name: float(value) for name, value in ROWS if "." in name}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_has_the_default_the_table_says(name: str) -> None:
    """As `sidechain config show` prints it."""
    assert getattr(load(environ={}).config, name) == SETTINGS[name]


@pytest.mark.parametrize("name", sorted(CONSTANTS))
def test_a_constant_has_the_value_the_table_says(name: str) -> None:
    """Named by its module below `agents`."""
    module, _, constant = name.rpartition(".")
    assert getattr(import_module(f"sidechain.agents.{module}"), constant) == CONSTANTS[name]


def test_no_bound_of_a_worker_is_missing() -> None:
    """Every setting `*_timeout_s`, `*_max_*`, and every constant of seconds in what the workers are made of."""
    settings = {one for one in load(environ={}).config.__struct_fields__ if "_timeout_s" in one or "_max_" in one}
    assert settings - SETTINGS.keys() == set(), "write them into the first table of deploy/README.md"
    files = [
        *(ROOT / "agents/lane").glob("*.py"),
        *(ROOT / "agents/wet").glob("*.py"),
        *(ROOT / "agents/dry").glob("*.py"),
    ]
    files += [ROOT / "agents" / f"{one}.py" for one in ("app", "worker", "metrics", "reader")]
    waits = {
        f"{'.'.join(one.relative_to(ROOT / 'agents').with_suffix('').parts)}.{name}"
        for one in files
        for name in re.findall(r"^([A-Z_]+_S)(?:: Final)? =", one.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert waits - CONSTANTS.keys() - PACES == set(), (
        "write them into the second table of deploy/README.md, and test them"
    )


# How often something is done, which keeps nobody waiting.
PACES = {
    "dry.worker.MEASURE_S",
    "dry.worker.TELL_S",
    "lane.control_queue.AGAIN_S",
    "lane.inputs.COMPLAIN_S",
    "lane.lane.PACE_S",
    "lane.lane.PAUSE_S",
    "lane.log_ends.POLL_S",
    "wet.promotions.LOOK_S",
    "wet.promotions.RETRY_S",
    "wet.metric_watch.LOOK_S",
    "wet.optimizer.LOOK_S",
    "wet.sentinel.EVERY_S",
    "wet.shadow.PAUSE_S",
    "wet.shadow.REPORT_S",
    "wet.trainer.SAVE_S",
    "wet.trainer.TELL_S",
    "lane.signals.COMPLAIN_S",
    "lane.signals.PAUSE_S",
    "wet.webhook.PACE_S",
    "wet.webhook.PAUSE_S",
}
