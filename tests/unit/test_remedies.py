"""What is proposed for each bottleneck, and how seldom."""

import pytest

from sidechain.models.wet.bottleneck import CAUSES, Bottleneck
from sidechain.models.wet.remedies import BATCH_MOST, COOL_MS, SAME_MS, CoolDown, Given, remedy

GIVEN = Given(batch_size=4_000, sample_bp=10_000, explain_above_bp=8_000)
HOT = {"partition": 3, "arrivals": 800.0, "hot_grown_per_s": 400.0}  # it does 400: nine tenths of that, in 1,000
SPREAD = "over 3 partitions, 36% of what comes to each at most, 80% now"
VECTORS = {
    "cpu": 1.0,
    "explaining": 0.8,
    "explained_from_8000": 100.0,
    "explained_from_8100": 60.0,
    "explained_from_8200": 40.0,
    "explained_from_8300": 10.0,
    "explained_from_8400": 5.0,
}


def bottleneck(stage, cause, **figures):
    told = {"workers": 1, "partitions": 4, "rate": 600.0, "grown_per_s": 400.0, "cpu": None, **figures}
    return Bottleneck(stage=stage, cause=cause, since_ms=0, evidence=("it is so",), figures=told)


@pytest.mark.parametrize(
    ("stage", "cause", "figures", "name"),
    [
        ("dry", "hot-partition", HOT, f"dry.route={SPREAD}"),
        ("wet", "hot-partition", HOT, f"wet.route={SPREAD}"),
        ("dry", "hot-partition", {**HOT, "a_batch": 2_000.0}, "dry.batch_size=8000"),  # half full: it is what limits
        ("dry", "hot-partition", {**HOT, "a_batch": 1_999.0}, f"dry.route={SPREAD}"),
        ("wet", "hot-partition", {**HOT, "a_batch": 4_000.0}, f"wet.route={SPREAD}"),  # batches are the dry side's
        ("dry", "hot-partition", {}, None),  # nobody says what comes there
        ("dry", "hot-partition", {**HOT, "arrivals": 1_201.0}, None),  # more than comes at all: nothing to rest on
        ("dry", "hot-partition", {**HOT, "hot_grown_per_s": -100.0}, None),  # it gets on: nine tenths of 900 are enough
        ("wet", "starved", {}, "wet.workers=2"),
        ("wet", "starved", {"workers": 4}, "tap.tap_sampling=5400"),  # a fifth worker would have no partition
        ("wet", "saturated", {}, "wet.workers=2"),
        ("wet", "saturated", {"allowed": 0.25, "cpu": 0.24}, "wet.share=0.45"),  # 0.24 for 600 of 1,000, and a ninth
        ("wet", "saturated", {"allowed": 0.25, "cpu": 0.24, "grown_per_s": 0.0}, "wet.share=0.3"),
        ("wet", "saturated", {"allowed": 0.5, "cpu": 0.9, "workers": 2, "grown_per_s": 9e9}, "wet.share=1"),
        ("wet", "saturated", {"workers": 4, **VECTORS}, "wet.threshold=8200"),  # 0.6 of 0.8 is over the 0.46 lacking
        ("wet", "saturated", {"workers": 4, **VECTORS, "explained_from_8200": 50.0}, "wet.threshold=8300"),
        ("wet", "saturated", {"workers": 4, **VECTORS, "explaining": 0.4}, "tap.tap_sampling=5400"),  # too little
        ("wet", "saturated", {"workers": 4}, "tap.tap_sampling=5400"),  # nobody says what vectors cost
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


def test_a_threshold_between_two_edges_counts_from_the_lower_one():
    """And there is none above the highest: scores that add to a risk keep their vectors."""
    given = GIVEN._replace(explain_above_bp=8_050)
    found = bottleneck("wet", "saturated", workers=4, **VECTORS)
    assert remedy(found, given).name == "wet.threshold=8200"
    assert remedy(found, given._replace(explain_above_bp=8_400)).name == "tap.tap_sampling=5400"


def test_a_hot_partition_is_told_with_its_share_and_what_would_fit():
    found = remedy(bottleneck("dry", "hot-partition", **HOT), GIVEN)
    assert found.before == "keys of partition 3 together"
    assert found.why.startswith("800 of 1,000 records a second come to partition 3, and its one reader does 400;")
    assert "`sidechain rekey --field`" in found.why


@pytest.mark.parametrize(
    ("setting", "before", "after_ms", "is_allowed"),
    [
        ("wet.workers", "1", COOL_MS - 1, False),
        ("wet.workers", "2", COOL_MS - 1, False),  # another one too: whoever reads them has to have time
        ("wet.workers", "2", COOL_MS, True),
        ("wet.workers", "1", COOL_MS, False),  # whatever the new value is computed to be by now
        ("wet.workers", "1", SAME_MS - 1, False),
        ("wet.workers", "1", SAME_MS, True),
    ],
)
def test_proposals_are_seldom(setting, before, after_ms, is_allowed):
    cool = CoolDown()
    assert cool.allows("wet.workers", "1", 0)
    cool.remember("wet.workers", "1", 0)
    assert cool.allows(setting, before, after_ms) == is_allowed


def test_what_was_proposed_is_forgotten_in_time():
    cool = CoolDown()
    for turn in range(1_000):
        cool.remember("wet.workers", str(turn), turn * COOL_MS)
        cool.allows("x", "y", turn * COOL_MS)
    assert len(cool._proposed) <= SAME_MS // COOL_MS
