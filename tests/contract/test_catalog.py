"""The catalogue: what every topic must be for the design to hold."""

import re

import pytest

from sidechain.models.dry.records import DEAD_LETTER_MAX_BYTES
from sidechain.topics.catalog import FOREVER, Topic, catalog

ROOM = 16_384  # what an entry or a dead letter adds to the bytes it repeats


@pytest.mark.parametrize("logical", ["dry.decisions", "dry.state", "dry.deadletters"])
def test_what_we_write_may_be_larger_than_what_we_read(logical):
    largest = catalog()["events"].max_message_bytes
    assert catalog()[logical].max_message_bytes >= largest + ROOM
    assert catalog()[logical].max_message_bytes >= DEAD_LETTER_MAX_BYTES + ROOM


def test_what_stands_beside_an_event_has_as_many_partitions():
    together = {name for name, topic in catalog().items() if topic.co_partitioned}
    assert together == {name for name in catalog() if name.startswith(("events", "outcomes", "dry.", "wet."))} - {
        "wet.signals",
        "wet.models",
    }


def test_the_chain_is_never_compacted_and_never_expires():
    assert catalog()["dry.decisions"].config()["cleanup.policy"] == "delete"
    assert catalog()["dry.decisions"].retention_ms == FOREVER
    assert catalog()["control"].retention_ms == FOREVER


@pytest.mark.parametrize("logical", ["dry.state", "wet.metadata", "wet.models", "wet.shadow", "wet.signals"])
def test_what_is_read_to_its_end_at_a_start_is_compacted(logical):
    config = catalog()[logical].config()
    assert config["cleanup.policy"] == "compact"
    assert "retention.ms" not in config


def test_no_clock_but_the_brokers_stamps_a_record():
    """A worker whose clock is an hour ahead would be refused, and one a year behind would have its letters deleted."""
    assert {topic.config()["message.timestamp.type"] for topic in catalog().values()} == {"LogAppendTime"}


def test_nothing_wet_writes_anything_dry():
    """The rights that Kafka's access control enforces."""
    wet = {"tap", "anomaly", "experts", "risk", "calibrator", "aggregator", "optimizer", "sentinel", "drift", "trainer"}
    for name, topic in catalog().items():
        if name.startswith("dry.") or name in ("events", "control"):
            assert not wet & set(topic.writers), name
    assert not wet & set(catalog()["events"].readers)


def test_a_shadow_sees_what_is_decided_and_writes_figures_alone():
    """It decides the same inputs with the same kernel, and nobody obeys it."""
    assert {name for name, topic in catalog().items() if "shadow" in topic.writers} == {"wet.shadow"}
    reads = {"events", "outcomes", "control", "dry.decisions", "dry.transfers", "wet.shadow"}
    assert {name for name, topic in catalog().items() if "shadow" in topic.readers} == reads
    assert "decider" not in catalog()["wet.shadow"].readers


def test_nobody_promotes_what_they_made_themselves():
    """A trainer proposes; who may be champion is for people to say."""
    assert {name for name, topic in catalog().items() if "trainer" in topic.writers} == {"human.proposals"}
    assert catalog()["wet.models"].writers == ("gatekeeper",)
    assert "decider" not in catalog()["wet.models"].readers


def test_every_topic_is_described():
    for name, topic in catalog().items():
        assert re.fullmatch(r"[a-z]+(\.[a-z]+)?", name)
        assert topic.name == name
        assert topic.says
        assert topic.writers
        assert topic.readers
        assert all(isinstance(value, str) for value in topic.config().values())


DURATIONS = [("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000), ("forever", -1)]


@pytest.mark.parametrize(("retention", "expected"), DURATIONS)
def test_durations_are_read(retention, expected):
    shape = {"says": "x", "key": "x", "partitions": "P", "cleanup": "delete", "writers": (), "readers": ()}
    topic = Topic(retention=retention, max_message="1 MiB", **shape)
    assert topic.config()["retention.ms"] == str(expected)
    assert topic.config()["max.message.bytes"] == "1048588"  # as Kafka's own default counts 1 MiB
    assert topic.count(7) == 7
