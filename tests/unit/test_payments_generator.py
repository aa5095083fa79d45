"""Made-up payments: the same bytes for the same seed, the three frauds where their definitions put them."""

import math
import os
import subprocess
import sys
from collections import defaultdict
from hashlib import sha256
from itertools import chain, islice, pairwise
from math import comb
from statistics import NormalDist

import msgspec
import pytest

from sidechain.models import Decider
from sidechain.models.dry.parse import Rejection, parser
from sidechain.models.pack_file import load_pack
from sidechain.models.packs.generators import GENERATORS
from sidechain.models.packs.generators.payments import Payments, poisson, words

DAY_MS = 86_400_000
SEEDED = """
from itertools import chain, islice
from sidechain.models.packs.generators.payments import Payments
made = Payments(7, 300)
for one in islice(chain.from_iterable(made.slices()), 2_000):
    print(made.event(one).decode(), made.outcome(one).decode(), made.truth(one).decode())
"""
# Of what SEEDED prints. It changes only together with the number behind "sidechain payments": another stream.
GOLDEN = "a01445aa9de2edc7c064ac3fd1d8e8baae2599f1ffcab6df42385defba0d9676"


def items(seed: int, count: int, keys: int = 300) -> list[tuple[int, ...]]:
    """The first items of a small world."""
    return list(islice(chain.from_iterable(Payments(seed, keys).slices()), count))


@pytest.fixture(scope="module")
def season() -> list[tuple[int, ...]]:
    """Ninety days of 300 customers: (time, kind, number, customer, terminal, amount)."""
    return list(chain.from_iterable(islice(Payments(3, 300).slices(), 90)))


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """Whatever the order of its sets and dicts: this hash is the one of every machine and every Python from 3.11 on."""
    environ = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", SEEDED], capture_output=True, env=environ, timeout=60, check=True)
    assert sha256(done.stdout).hexdigest() == GOLDEN


def test_words_are_shake_128_as_the_standard_has_it() -> None:
    """Worked out with `openssl dgst -shake128 -xoflen 4096`: the first 16 bytes, read from the low end."""
    first = bytes.fromhex("5c69128a8cf1a976a87628203776511e")
    assert list(islice(words(7, "world"), 2)) == [
        int.from_bytes(first[:8], "little"),
        int.from_bytes(first[8:], "little"),
    ]


def test_fewer_events_are_the_beginning_of_more_and_other_seeds_differ() -> None:
    """The world does not depend on how much of it is looked at."""
    assert items(7, 100) == items(7, 1_500)[:100]
    assert items(8, 100) != items(7, 100)
    made = Payments(8, 300)
    assert made.event(items(8, 1)[0]).startswith(b'{"id":"8-0",')  # ids of two seeds never meet


def test_the_normal_numbers_are_normal_to_a_thousandth() -> None:
    """The exact distribution of 128 coins and a uniform fraction, against the normal one, at every eighth of a coin."""
    deviation = math.sqrt(385 / 12)
    ones = [comb(128, count) / 2**128 for count in range(129)]
    below = [sum(ones[:count]) for count in range(130)]
    furthest = max(
        abs(below[count] + ones[count] * eighth / 8 - NormalDist(64.5, deviation).cdf(count + eighth / 8))
        for count in range(129)
        for eighth in range(8)
    )
    assert furthest < 0.001


@pytest.mark.parametrize("rate_millionths", [1, 1_000, 999_999, 1_700_000, 3_999_999])
def test_a_daily_number_is_poisson(rate_millionths: int) -> None:
    """Integers against the textbook formula in doubles."""
    rate = rate_millionths / 1_000_000
    shares = [rate**count * math.exp(-rate) / math.factorial(count) for count in range(40)]
    for count, reached in enumerate(poisson(rate_millionths)):
        assert reached / 2**64 == pytest.approx(sum(shares[: count + 1]), abs=1e-14)


def test_a_customer_who_never_pays_has_all_of_the_distribution_at_none() -> None:
    """Every 64-bit word is below it."""
    assert poisson(0) == [1 << 64]


def test_events_come_in_order_with_ids_of_their_own_and_the_pack_accepts_them(season) -> None:
    """Nothing of what is made is rejected."""
    assert all(one[0] <= after[0] for one, after in pairwise(season))
    assert [one[2] for one in season] == list(range(len(season)))
    made, parse = Payments(3, 300), parser(load_pack("payments").event)
    assert not [one for one in season[:3_000] if isinstance(parse(made.event(one)), Rejection)]


def test_every_large_amount_is_fraud_and_a_fraud_of_the_first_kind_is_a_large_amount(season) -> None:
    """Above 220.00, edge excluded."""
    assert all(one[5] > 22_000 for one in season if one[1] == 1)
    assert all(one[5] <= 22_000 for one in season if one[1] == 0)


def test_a_compromised_terminal_has_nothing_but_fraud_for_at_most_28_days(season) -> None:
    """Seen from the payments alone: between its first and its last fraud of a run every payment is one."""
    by_terminal = defaultdict(list)
    for one in season:
        by_terminal[one[4]].append((one[0] // DAY_MS, one[1]))
    taken = {terminal: found for terminal, found in by_terminal.items() if any(kind == 2 for _, kind in found)}
    assert len(taken) >= 5
    twice = 0
    for found in taken.values():
        days = [day for day, kind in found if kind == 2]
        if max(days) - min(days) >= 28:
            twice += 1
        else:
            assert all(kind >= 2 for day, kind in found if min(days) < day < max(days))
    assert twice <= len(taken) // 5  # few are compromised again within ninety days


def test_a_compromised_customer_pays_fivefold_a_third_of_the_time_for_at_most_14_days(season) -> None:
    """Seen from the payments alone; a share far from a third in sum would be another method."""
    by_customer = defaultdict(list)
    for one in season:
        by_customer[one[3]].append(one)
    hit = within = 0
    for found in by_customer.values():
        days = sorted({one[0] // DAY_MS for one in found if one[1] == 3})
        if not days:
            continue
        assert days[-1] - days[0] < 14 or max(after - day for day, after in pairwise(days)) > 1
        assert all(one[5] % 5 == 0 for one in found if one[1] == 3)
        inside = [one for one in found if days[0] <= one[0] // DAY_MS <= days[-1] and days[-1] - days[0] < 14]
        hit += sum(one[1] == 3 for one in inside)
        within += len(inside)
    assert hit >= 50
    assert 0.28 < hit / within < 0.55  # the edges of a run are frauds by choice, so it is above a third


def test_an_outcome_is_known_seven_days_later_and_says_good_or_bad_only(season) -> None:
    """Which fraud it was is in the truth, not in what the world learns."""
    made = Payments(3, 300)
    for one in season[::100]:
        outcome, truth = msgspec.json.decode(made.outcome(one)), msgspec.json.decode(made.truth(one))
        event = msgspec.json.decode(made.event(one))
        identifier, customer = event["id"], event["customer"]
        label = "bad" if one[1] else "good"
        assert outcome == {"id": identifier, "key": customer, "at": one[0] + 7 * DAY_MS, "label": label}
        assert truth == {"id": identifier, "kind": one[1]}


def test_every_outcome_settles_its_decision_a_week_later(season) -> None:
    """Decided and settled in the order in which both become known: none is refused, and each says what the truth is."""
    made, decider = Payments(3, 300), Decider("payments")
    some = season[:8_000]
    told = 0
    settled = []
    for at in range(0, len(some), 500):
        events = some[at : at + 500]
        decider.lines([made.event(one) for one in events])
        due = [one for one in some[told : at + 500] if one[0] + 7 * DAY_MS <= events[-1][0]]
        settled += decider.outcomes(made.outcome(one) for one in due)
        told += len(due)
    assert len(settled) > 3_000
    assert {one["kind"] for one in settled} == {"settlement"}
    assert [(one["id"], one["label"]) for one in settled] == [
        (f"3-{one[2]}", "bad" if one[1] else "good") for one in some[:told]
    ]


def test_every_generator_is_of_a_pack_that_comes_along() -> None:
    """What it makes has a policy to decide it."""
    for pack in GENERATORS:
        assert load_pack(pack).name == pack
