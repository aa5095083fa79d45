"""A list in force with other types than a policy declares is unknown to it, and the commands say so beforehand."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from sidechain.agents import doctor
from sidechain.agents.activate_list import Activated, unlike
from sidechain.agents.admin import Existing
from sidechain.agents.config import load as load_config
from sidechain.models.dry.lists import read_activation
from sidechain.models.pack_file import load
from tests.doors import LISTED, activation

POLICY = load(LISTED.encode(), name="doors.yaml")


def stands(*versions: bytes) -> list[Activated]:
    """What `control` holds when these records stand there."""
    found = [read_activation(one) for one in versions]
    return [Activated(at, one) for at, one in enumerate(found) if one is not None]


@pytest.mark.parametrize(
    ("versions", "types"),
    [
        ([], None),
        ([activation("a\n")], None),
        ([activation("1\n", type="int")], "int"),
        ([activation("a\t1\n", value="int")], "string to int"),
        ([activation("1\n", type="int"), activation("a\n", version=2)], None),  # the last one counts
        ([activation("a\n"), activation("1\n", version=2, type="int")], "int"),
        ([activation("1\n", type="int", list="other")], None),  # the policy does not ask it
    ],
)
def test_a_list_with_other_types_is_named_with_both(versions: Sequence[bytes], types: str | None) -> None:
    """The sentence says what stands there, what the policy declares, and what helps."""
    found = unlike(POLICY, stands(*versions))
    assert [one.types for one in found] == ([] if types is None else [types])
    for one in found:
        assert f"list lost stands on `control` as {types} (lost@" in str(one)
        assert f"and {POLICY.ref} declares it as string: under this policy it is unknown until" in str(one)


@pytest.mark.parametrize(
    ("versions", "state", "says"),
    [
        ([], "ok", "lost: none activated yet"),
        ([activation("a\n", version=7)], "ok", "lost@7:"),
        ([activation("1\n", type="int")], "warn", "list lost stands on `control` as int"),
        (None, "warn", "not looked at (TopicAuthorizationFailedError)"),
    ],
)
def test_the_doctor_looks_at_the_lists_a_policy_declares(
    tmp_path, monkeypatch, versions: Sequence[bytes] | None, state: str, says: str
) -> None:
    """Where the topic is there; who may not read it hears that nobody looked."""

    async def read(_config, pack: str) -> list[Activated]:
        assert pack == "doors"
        if versions is None:
            raise TopicAuthorizationFailedError
        return stands(*versions)

    monkeypatch.setattr(doctor, "activations", read)
    (tmp_path / "doors.yaml").write_text(LISTED)
    config = load_config({"policy": tmp_path / "doors.yaml"}, environ={}).config
    have = {config.topic("control"): Existing(partitions=1, replication=1, settings={}, own={})}
    (found,) = asyncio.run(doctor._lists(config, have))
    assert (found.check, found.state) == ("lists", state)
    assert found.says.startswith(says)
    assert bool(found.do) == (state == "warn")
    assert asyncio.run(doctor._lists(config, {})) == []
