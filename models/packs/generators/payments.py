"""Payments with three planted frauds, after the method the Fraud Detection Handbook publishes for its simulator.

    world       5,000 customers and 10,000 terminals, uniform on a square of side 100
    customer    mean amount uniform 5..100, its deviation half of it; payments a day Poisson, the mean uniform 0..4;
                pays at terminals nearer than 5, each as likely as the other, or never where there is none
    payment     time of day normal (12 h, 20,000 s), dropped outside the day; amount normal, a negative one drawn
                again, uniform 0 to twice the mean
    1 amount    every payment above 220.00 is fraud
    2 terminal  each day 2 more terminals are compromised for 28 days: all their payments are fraud
    3 customer  each day 3 more customers are compromised for 14 days: a third of their payments, at random, is
                fraud and five times the amount

A payment of several kinds has the last of them. Where we differ: the third is drawn payment by payment, because the
stream is not known in advance; a customer compromised twice at once still pays five times, not twenty-five; a world
of another size keeps these densities, so its square and its daily numbers grow with it.

The same bytes everywhere: all chance is SHAKE-128 (FIPS 202) read as 64-bit words, all arithmetic is on integers. No
library's random numbers, whose methods change between versions, and no libm, whose last digit differs between machines.
A normal number is the count of ones in 128 bits and a uniform fraction, scaled to mean 0 and deviation 1: its
distribution function stays within 0.001 of the normal one.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from hashlib import shake_128
from itertools import count
from math import isqrt
from struct import unpack
from typing import Final

CUSTOMERS: Final = 5_000
SIDE: Final = 100_000_000  # in millionths, as all places and distances
REACH: Final = 5_000_000
MEAN_MINOR: Final = (500, 10_000)
RATE_MILLIONTHS: Final = 4_000_000  # payments a day, below
DAY_S: Final = 86_400
NOON_MS: Final = 43_200_000
NOON_DEVIATION_MS: Final = 20_000_000
AMOUNT_LIMIT_MINOR: Final = 22_000
TERMINALS_A_DAY, TERMINAL_DAYS = 2, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS = 3, 14
TIMES_AMOUNT: Final = 5
LABEL_DELAY_MS: Final = 7 * DAY_S * 1_000
START_MS: Final = 1_522_540_800_000  # 2018-04-01T00:00:00Z, as the published stream

_ALL: Final = 1 << 64  # words are uniform below it
_THIRD: Final = _ALL // 3
# Ones in 128 bits plus a uniform fraction, in units of 2^-64: mean 64.5 and variance 32 + 1/12 = 385/12.
_CENTRE: Final = (64 << 64) + (1 << 63)
_DEVIATION: Final = isqrt((385 << 128) // 12)
_POINT: Final = 1 << 96  # fixed point of the Poisson distribution
_TERMS: Final = 64  # of the exponential series: for rates below 4 the rest is less than 2^-96


class Payments:
    """One seed's payments. Memory grows with the customers and terminals, not with what has been made."""

    kinds: Sequence[str] = ("none", "amount", "terminal", "customer")

    def __init__(self, seed: int, keys: int | None = None, start_ms: int | None = None) -> None:
        """`keys`: customers of the world; there are twice as many terminals. `start_ms`: midnight of the first day."""
        self._seed = seed
        self._start_ms = START_MS if start_ms is None else start_ms
        self._customers = CUSTOMERS if keys is None else keys
        self._terminals = 2 * self._customers
        self._side = isqrt(SIDE * SIDE * self._customers // CUSTOMERS)
        self._crime = words(seed, "crime")
        self._bad_terminals: dict[int, int] = {}  # until which day, exclusive
        self._bad_customers: dict[int, int] = {}

    def slices(self) -> Iterator[list[tuple[int, ...]]]:
        """Day after day: (time in ms, kind, number from 0, customer, terminal, amount in minor units)."""
        profiles = self._profiles()
        word = words(self._seed, "payments").__next__
        number = 0
        for day in count():
            self._compromise(day)
            found = self._day(profiles, word)
            found.sort()
            opened_ms = self._start_ms + day * DAY_S * 1_000
            yield [
                (opened_ms + at_s * 1_000, kind, number + place, customer, terminal, amount)
                for place, (at_s, customer, terminal, amount, kind) in enumerate(found)
            ]
            number += len(found)

    def event(self, one: tuple[int, ...]) -> bytes:
        """An event of the pack; ids name the seed, so that two streams do not repeat each other's."""
        at_ms, _, number, customer, terminal, amount = one
        return b'{"id":"%d-%d","customer":"%d","at":%d,"terminal":"%d","amount_minor":%d}' % (
            self._seed, number, customer, at_ms, terminal, amount,
        )  # fmt: skip

    def outcome(self, one: tuple[int, ...]) -> bytes:
        """Good or bad, known seven days later; the key leads it to the partition of its decision."""
        at_ms, kind, number, customer, _, _ = one
        label = b"bad" if kind else b"good"
        return b'{"id":"%d-%d","key":"%d","at":%d,"label":"%s"}' % (
            self._seed, number, customer, at_ms + LABEL_DELAY_MS, label,
        )  # fmt: skip

    def truth(self, one: tuple[int, ...]) -> bytes:
        """Which of the frauds it is."""
        return b'{"id":"%d-%d","kind":%d}' % (self._seed, one[2], one[1])

    def _day(self, profiles: list["_Profile"], word: Callable[[], int]) -> list[tuple[int, int, int, int, int]]:
        """One day's payments, customer by customer."""
        found = []
        bad_terminals, bad_customers = self._bad_terminals, self._bad_customers
        for customer, (mean, several, terminals) in enumerate(profiles):
            for _ in range(bisect_right(several, word())):
                shift = _shift(word(), word(), word())
                at_s = (NOON_MS + shift * NOON_DEVIATION_MS // _DEVIATION) // 1_000
                if not 0 < at_s < DAY_S:
                    continue
                shift = _shift(word(), word(), word())
                amount = mean + (shift * mean + _DEVIATION) // (2 * _DEVIATION)
                if amount < 0:
                    amount = word() * 2 * mean >> 64
                terminal = terminals[word() * len(terminals) >> 64]
                kind = 1 if amount > AMOUNT_LIMIT_MINOR else 0
                if terminal in bad_terminals:
                    kind = 2
                if customer in bad_customers and word() < _THIRD:
                    amount, kind = amount * TIMES_AMOUNT, 3
                found.append((at_s, customer, terminal, amount, kind))
        return found

    def _compromise(self, day: int) -> None:
        """Whom it takes today, and who is free again."""
        for bad, some, of, days in (
            (self._bad_terminals, TERMINALS_A_DAY, self._terminals, TERMINAL_DAYS),
            (self._bad_customers, CUSTOMERS_A_DAY, self._customers, CUSTOMER_DAYS),
        ):
            for one in [one for one, until in bad.items() if until <= day]:
                del bad[one]
            taken: set[int] = set()
            # In a world of another size as many in the long run, on whole days.
            due = (day + 1) * some * self._customers // CUSTOMERS - day * some * self._customers // CUSTOMERS
            while len(taken) < due:
                taken.add(next(self._crime) * of >> 64)
            bad.update(dict.fromkeys(taken, day + days))

    def _profiles(self) -> list["_Profile"]:
        """Every customer, and every terminal within reach; one who reaches none never pays."""
        word = words(self._seed, "world").__next__
        side = self._side
        people = []
        for _ in range(self._customers):
            x, y = word() * side >> 64, word() * side >> 64
            mean = MEAN_MINOR[0] + (word() * (MEAN_MINOR[1] - MEAN_MINOR[0] + 1) >> 64)
            people.append((x, y, mean, word() * RATE_MILLIONTHS >> 64))
        places = [(word() * side >> 64, word() * side >> 64) for _ in range(self._terminals)]
        cells: dict[tuple[int, int], list[int]] = {}
        for terminal, (x, y) in enumerate(places):
            cells.setdefault((x // REACH, y // REACH), []).append(terminal)
        profiles = []
        for x, y, mean, rate in people:
            near = [
                one
                for across in (-1, 0, 1)
                for along in (-1, 0, 1)
                for one in cells.get((x // REACH + across, y // REACH + along), ())
                if (places[one][0] - x) ** 2 + (places[one][1] - y) ** 2 < REACH * REACH
            ]
            profiles.append((mean, poisson(rate) if near else [_ALL], tuple(near)))
        return profiles


_Profile = tuple[int, list[int], tuple[int, ...]]  # mean in minor units, distribution of the daily number, terminals


def words(seed: int, purpose: str) -> Iterator[int]:
    """Uniform integers below 2^64 for ever: SHAKE-128 over seed, purpose and block number, little-endian."""
    for block in count():
        name = b"sidechain payments 1\n%b\n%d\n%d" % (purpose.encode(), seed, block)
        yield from unpack("<512Q", shake_128(name).digest(4_096))


def poisson(rate_millionths: int) -> list[int]:
    """The distribution function of a Poisson number in units of 2^-64, until nothing is left.

    A uniform word stands for as many as there are entries it is not below. Rates up to 4,000,000.
    """
    term = total = _POINT
    for power in range(1, _TERMS):
        term = -term * rate_millionths // (power * 1_000_000)
        total += term
    found = []
    share, reached = total, 0
    for number in count(1):
        reached += share
        found.append(reached >> 32)
        share = share * rate_millionths // (number * 1_000_000)
        if share >> 32 == 0:
            return found
    raise AssertionError  # count() does not end


def _shift(first: int, second: int, third: int) -> int:
    """A normal number of mean 0 and deviation _DEVIATION out of three words."""
    return (first.bit_count() + second.bit_count() << 64) + third - _CENTRE
