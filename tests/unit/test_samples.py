"""The sample data of the packs, and what is planted in it: made by the script that says so, and seen by no rule."""

import gzip
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack

SCRIPTS = Path(__file__).parents[1] / "data"
SAMPLES = files("sidechain.models") / "packs" / "samples"
HOSTS = {"planted-1.example", "planted-2.example", "planted-3.example"}


@pytest.fixture(scope="module")
def planted() -> list[dict]:
    """The planted events, decoded."""
    return [msgspec.json.decode(one) for one in samples.planted("web")]


@pytest.fixture(scope="module")
def stream() -> list[bytes]:
    """The NASA day with the planted events in it, as the demo sends it."""
    policy = load_pack("web")
    return samples.in_time_order(policy, samples.events(policy), samples.planted("web"))


def test_the_planted_file_is_what_its_script_makes() -> None:
    """Byte for byte: nobody edited it by hand."""
    assert (SAMPLES / "web_burst.ndjson").read_bytes() == made_by("make_web_burst.py")


def test_the_payments_are_what_their_script_makes() -> None:
    """Unpacked, because other versions of gzip pack otherwise; all three frauds are there."""
    text = gzip.decompress((SAMPLES / "payments_150_customers.csv.gz").read_bytes())
    assert text == made_by("make_payments_sample.py")
    assert {line[-1:] for line in text.splitlines()[1:]} == {b"0", b"1", b"2", b"3"}


def made_by(script: str) -> bytes:
    """What one of the scripts prints."""
    return subprocess.run([sys.executable, SCRIPTS / script], capture_output=True, timeout=60, check=True).stdout


def test_three_hosts_are_planted_and_are_strangers_to_the_day(planted: list[dict]) -> None:
    """240 requests each, with ids and names that the day itself does not have."""
    assert Counter(one["host"] for one in planted) == dict.fromkeys(HOSTS, 240)
    day = [msgspec.json.decode(one) for one in samples.events(load_pack("web"))]
    assert not HOSTS & {one["host"] for one in day}
    assert not {one["id"] for one in planted} & {one["id"] for one in day}
    assert len({one["id"] for one in planted}) == 720


def test_no_rule_sees_the_planted_hosts_without_signals(stream: list[bytes]) -> None:
    """Decided in the day's own stream, every one of their requests is allowed and nothing is held against it."""
    entries = [msgspec.json.decode(one) for one in Decider("web").lines(stream)]
    theirs = [one for one in entries if one["key"] in HOSTS]
    assert {(one["kind"], one["action"], str(one["reasons"])) for one in theirs} == {("decision", "allow", "[]")}
    assert len(theirs) == 720


def test_the_stream_is_in_time_order_and_complete(stream: list[bytes]) -> None:
    """All 30,969 requests of the day and the planted ones; those of one instant in the order they came."""
    events = [msgspec.json.decode(one) for one in stream]
    times = [one["at"] for one in events]
    assert times == sorted(times)
    own = [one["id"] for one in events if one["host"] not in HOSTS]
    assert len(own) == 30_969
    assert own == [msgspec.json.decode(one)["id"] for one in samples.events(load_pack("web"))]


def test_a_pack_without_planted_events_or_sample_says_so() -> None:
    """Nothing planted is an empty list; no sample is a KeyError, which the demo turns into a sentence."""
    assert samples.planted("network") == []
    with pytest.raises(KeyError):
        samples.raw_lines("doors")


@pytest.mark.parametrize(("pack", "count"), [("web", 30_969), ("network", 24_702), ("payments", 24_000)])
def test_every_row_of_a_sample_becomes_an_event(pack: str, count: int) -> None:
    """As many as ATTRIBUTION.md states, none of them a bad row."""
    assert len(samples.events(load_pack(pack))) == count
