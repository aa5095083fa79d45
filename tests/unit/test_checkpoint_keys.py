"""The keys of a worker that signs: they fit together and are for its chains, or the worker does not start."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidechain.agents.admin import Existing
from sidechain.agents.checkpoints import check_scope, load_keys
from sidechain.agents.config import load
from sidechain.agents.doctor import _checkpoints, _window
from sidechain.agents.problems import UsageProblem
from sidechain.agents.settings import Config
from tests.checkpoints import key_files
from tests.proofs import NEW, OTHER_ROOT

TODAY = datetime.now(UTC).date()


def config(named: dict[str, Any], **more: Any) -> Config:
    return load({"pack": "web", **named, **more}, environ={}).config


@pytest.fixture
def named(tmp_path: Path) -> dict[str, Any]:
    return key_files(tmp_path / "ours", "sidechain.web")


def test_keys_that_fit_are_taken(named) -> None:
    keys = load_keys(config(named))
    assert keys is not None
    check_scope(keys, config(named), range(4))


def test_no_key_is_no_checkpoints(named) -> None:
    """Whoever only checks sets the root's public key alone."""
    assert load_keys(config({})) is None
    assert load_keys(config({"checkpoint_root_file": named["checkpoint_root_file"]})) is None


@pytest.mark.parametrize(
    ("file", "other", "says"),
    [
        ("checkpoint_key_file", {"worker": NEW}, "is for another key, worker"),
        ("checkpoint_root_file", {"root": OTHER_ROOT}, "is not signed by the root key root"),
        ("checkpoint_certificate_file", {"worker": NEW}, "is for another key"),
        ("checkpoint_certificate_file", None, "checkpoint_certificate_file not set"),
        ("checkpoint_root_file", None, "checkpoint_root_file not set"),
        ("checkpoint_key_file", None, "checkpoint_key_file not set"),
    ],
)
def test_files_that_do_not_fit_are_refused(named, tmp_path: Path, file, other, says) -> None:
    """One of the three missing, or taken from another installation: a sentence, before anything is signed."""
    found = key_files(tmp_path / "theirs", "sidechain.web", **other)[file] if other is not None else None
    with pytest.raises(UsageProblem, match=says):
        load_keys(config({**named, file: found}))


def test_a_certificate_for_other_chains_is_refused(named) -> None:
    keys = load_keys(config(named))
    assert keys is not None
    with pytest.raises(UsageProblem, match="certificate 1 of worker is not for sidechain/shop/0/epoch-0"):
        check_scope(keys, config(named, prefix="shop."), range(4))


@pytest.mark.parametrize(
    ("days", "state", "says"),
    [
        (None, "ok", "certificate 1"),
        (31, "ok", "certificate 1"),
        (30, "warn", "ends in 30 days"),
        (-2, "warn", "ended 2 days ago"),
    ],
)
def test_the_doctor_sees_a_certificate_end(tmp_path: Path, days, state, says) -> None:
    """A month is time enough to fetch the root key from where it lies."""
    not_after = None if days is None else TODAY + timedelta(days=days)
    [found] = _checkpoints(config(key_files(tmp_path / "k", "sidechain.web", not_after=not_after)))
    assert found.state == state
    assert says in found.says


@pytest.mark.parametrize(("replication", "state"), [(1, "ok"), (3, "warn")])
def test_the_doctor_misses_checkpoints_where_it_matters(replication, state) -> None:
    """To try things out nobody needs a key."""
    [found] = _checkpoints(config({}, replication=replication))
    assert (found.state, found.says.startswith("off")) == (state, True)


def test_the_doctor_sees_keys_that_do_not_fit(named) -> None:
    [found] = _checkpoints(config(named, prefix="shop."))
    assert (found.state, "is not for sidechain/shop/0" in found.says) == ("fail", True)


@pytest.mark.parametrize(
    ("kept_ms", "state"), [(-1, "ok"), (604_800_000, "ok"), (604_799_999, "warn"), (3_600_000, "warn")]
)
def test_the_doctor_holds_the_events_to_the_replay_window(kept_ms, state) -> None:
    """Seven days unless somebody promises something else."""
    settings = config({})
    have = Existing(partitions=4, replication=1, settings={"retention.ms": str(kept_ms)}, own={})
    [found] = _window(settings, {settings.topic("events"): have})
    assert found.state == state
