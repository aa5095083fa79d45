"""What is proposed for each bottleneck, and how seldom."""

import pytest

from sidechain.models.wet.bottleneck import CAUSES, Bottleneck
from sidechain.models.wet.remedies import BATCH_MOST, COOL_MS, SAME_MS, CoolDown, Given, remedy

GIVEN = Given(batch_size=4_000, sample_bp=10_000)


def bottleneck(stage, cause, **figures):
    told = {"workers": 1, "partitions": 4, "rate": 600.0, "grown_per_s": 400.0, **figures}
    return Bottleneck(stage=stage, cause=cause, since_ms=0, evidence=("it is so",), figures=told)


@pytest.mark.parametrize(
    ("stage", "cause", "figures", "name"),
    [
        ("dry", "hot-partition", {}, "dry.route=spread"),
        ("wet", "hot-partition", {}, "wet.route=spread"),
        ("wet", "starved", {}, "wet.workers=2"),
        ("wet", "starved", {"workers": 4}, "tap.tap_sampling=5400"),  # a fifth worker would have no partition
        ("wet", "saturated", {}, "wet.workers=2"),
        ("wet", "saturated", {"workers": 4}, "wet.threshold=higher"),
        ("wet", "slow", {}, "tap.tap_sampling=5400"),  # nine tenths of 600 in 1,000
        ("wet", "slow", {"rate": 1.0, "grown_per_s": 999.0}, "tap.tap_sampling=500"),
        ("wet", "slow", {"grown_per_s": -500.0}, None),  # it is catching up by itself: nine tenths of 600 in 100
        ("dry", "slow", {}, "dry.batch_size=8000"),
        ("dry", "starved", {}, "dry.workers=2"),
        ("tap", "saturated", {"workers": 4}, "tap.tap_sampling=5400"),
        ("wet", "stopped", {}, None),
        ("shadow", "saturated", {}, None),  # no decision waits for it
    ],
)
def test_each_bottleneck_has_its_remedy(stage, cause, figures, name):
    found = remedy(bottleneck(stage, cause, **figures), GIVEN)
    assert (None if found is None else found.name) == name


@pytest.mark.parametrize("stage", ["dry", "tap", "wet", "aggregator", "shadow"])
@pytest.mark.parametrize("cause", CAUSES)
def test_no_proposal_leads_nowhere(stage, cause):
    """What it says after differs from what it says before, whatever is set already."""
    for given in (GIVEN, Given(BATCH_MOST, 500), Given(1, 1)):
        found = remedy(bottleneck(stage, cause, workers=4), given)
        assert found is None or found.before != found.after


@pytest.mark.parametrize(
    ("name", "after_ms", "is_allowed"),
    [
        ("wet.workers=2", COOL_MS - 1, False),
        ("wet.workers=3", COOL_MS - 1, False),  # another one too: whoever reads them has to have time
        ("wet.workers=3", COOL_MS, True),
        ("wet.workers=2", COOL_MS, False),
        ("wet.workers=2", SAME_MS - 1, False),
        ("wet.workers=2", SAME_MS, True),
    ],
)
def test_proposals_are_seldom(name, after_ms, is_allowed):
    cool = CoolDown()
    assert cool.allows("wet.workers=2", 0)
    cool.remember("wet.workers=2", 0)
    assert cool.allows(name, after_ms) == is_allowed


def test_what_was_proposed_is_forgotten_in_time():
    cool = CoolDown()
    for turn in range(1_000):
        cool.remember(f"wet.workers={turn}", turn * COOL_MS)
        cool.allows("x", turn * COOL_MS)
    assert len(cool._proposed) <= SAME_MS // COOL_MS
