"""The accounts of an export once more, by a program that knows nothing but JSON: no import of the project.

    python tests/dumb_ledger.py EXPORT

Reads nothing but entries, in order, and keeps of each account three numbers: what was given, what is held, what things
have cost. After every entry that touches an account it says where what the entry states is not what they come to, and
where the balance does not hold: what remains, is held and is spent must be what was given, and none of it below zero.
What one partition gave another is under way until that has sealed it; it must arrive as it was given, and once.
"""

import json
import sys
from pathlib import Path


class Wrong(AssertionError):  # noqa: N818 - named for what it is
    """An entry that states a balance that cannot be."""


def must(is_so, partition, entry, says):
    if not is_so:
        raise Wrong(f"partition {partition}, entry {entry['seq']}: {says}")


class Chain:
    """One partition's accounts, by account, key and the beginning of the period."""

    def __init__(self, partition):
        self.partition = partition
        self.partitions = None
        self.given = {}
        self.held = {}
        self.costs = {}
        self.unit = {}
        self.until = {}
        self.open = {}  # seq of a decision -> its parts
        self.decisions = {}  # seq -> the time it expires, of those that reserved
        self.ended = set()
        self.checked = 0
        self.epoch = 0
        self.gave = {}  # (partition, epoch, seq) of an entry of kind debit -> to whom, of which place, how much
        self.got = []  # the same of entries of kind credit: by whom and which entry it was given, place, how much

    def balances(self, place):
        """Given, remaining, held, spent, owed. What is spent is the smaller of all costs and of what is not held."""
        given, held, costs = self.given[place], self.held[place], self.costs[place]
        spent = min(costs, given - held)
        return given, given - held - spent, held, spent, costs - spent

    def take(self, entry):
        if entry["kind"] == "epoch":
            gave, got = self.gave, self.got
            self.__init__(self.partition)  # the state is lost, and with it what was held
            self.epoch, self.gave, self.got = entry["epoch"], gave, got
            return
        if entry["kind"] in ("debit", "credit"):
            self.move(entry)
            return
        budget = entry.get("budget")
        if budget is None:
            return
        must(entry["kind"] in ("decision", "settlement"), self.partition, entry, "is of no kind that has a budget")
        self.partitions = self.partitions or budget["partitions"]
        must(budget["partitions"] == self.partitions, self.partition, entry, "states another number of partitions")
        for closed in budget["closed"]:
            self.close(entry, closed)
        if budget["reserved"] is not None:
            self.reserve(entry, budget["reserved"])
        demanded = [one for one in entry.get("reasons", []) if one[0] == "budget"]
        must(
            entry["kind"] != "decision" or len(demanded) >= len(budget["refused"]),
            self.partition,
            entry,
            "was refused something and says nothing of it among its reasons",
        )

    def reserve(self, entry, reserved):
        must(entry["kind"] == "decision", self.partition, entry, "reserves and decides nothing")
        for part, remaining, initial in zip(reserved["parts"], reserved["remaining"], reserved["initial"], strict=True):
            account, key, unit, begin, until, amount = part
            place = (account, key, begin)
            must(begin % (until - begin) == 0, self.partition, entry, f"{place} is of no whole period")
            if not self.held.get(place) and not self.costs.get(place):  # nothing is lost by giving it anew
                self.given[place], self.held[place], self.costs[place] = initial, 0, 0
                self.unit[place], self.until[place] = unit, until
            must(self.given[place] == initial, self.partition, entry, f"{place} was given {self.given[place]} before")
            must(self.unit[place] == unit, self.partition, entry, f"{place} was in {self.unit[place]} before")
            before = self.balances(place)
            must(before[4] == 0, self.partition, entry, f"{place} owes {before[4]} and reserves")
            must(amount >= 0, self.partition, entry, f"{place} reserves {amount}")
            self.held[place] += amount
            self.check(entry, place, remaining)
        self.open[entry["seq"]] = reserved["parts"]

    def move(self, entry):
        """A part of an account goes to another partition, or comes from one. What came before keeps its place."""
        self.partitions = self.partitions or entry["partitions"]
        must(entry["partitions"] == self.partitions, self.partition, entry, "states another number of partitions")
        told, amount = entry["transfer"], entry["amount"]
        place = (told["account"], told["key"], told["from_ms"])
        must(told["to"] == self.partition != told["source"], self.partition, entry, "is of others' transfer")
        must(amount >= 0, self.partition, entry, f"moves {amount}")
        if entry["reason"] in ("repeated-transfer", "foreign-transfer"):
            must(amount == 0, self.partition, entry, f"moves {amount} that must not move")
            return
        if entry["kind"] == "debit":
            must(amount <= told["amount"], self.partition, entry, "gives more than was asked")
            self.gave[self.partition, self.epoch, entry["seq"]] = (told["source"], place, amount)
        else:
            must(
                amount + entry["lapsed"] == told["amount"], self.partition, entry, "adds another amount than was given"
            )
            self.got.append(((told["source"], told["epoch"], told["seq"]), place, told["amount"]))
        if place in self.given:
            self.given[place] += -amount if entry["kind"] == "debit" else amount
            given, remaining, held, spent_, _ = self.balances(place)
            must(remaining + held + spent_ == given, self.partition, entry, f"{place} does not balance")
            must(remaining >= 0, self.partition, entry, f"{place} gives more than remains")
            self.checked += 1

    def close(self, entry, closed):
        seq = closed["reservation"]
        must(seq in self.open, self.partition, entry, f"ends reservation {seq}, which is not open")
        must(closed["how"] in ("settled", "expired"), self.partition, entry, f"ends one as {closed['how']}")
        if closed["how"] == "settled":
            must(entry.get("settles") == seq, self.partition, entry, f"settles another than {seq}")
        for part, (account, key, begin, amount, cost, overrun, remaining) in zip(
            self.open.pop(seq), closed["parts"], strict=True
        ):
            place = (account, key, begin)
            must(part[:2] + part[3:4] == [account, key, begin], self.partition, entry, f"{place} is not what was held")
            must(part[5] == amount, self.partition, entry, f"{place} held {part[5]}, not {amount}")
            must(closed["how"] == "settled" or cost in (0, amount), self.partition, entry, f"{place} cost {cost}")
            owed = self.balances(place)[4]
            self.held[place] -= amount
            self.costs[place] += cost
            must(
                overrun == max(self.balances(place)[4] - owed, 0),
                self.partition,
                entry,
                f"{place} owes {self.balances(place)[4]} and owed {owed}; it states {overrun} more",
            )
            self.check(entry, place, remaining)

    def check(self, entry, place, stated):
        given, remaining, held, spent, owed = self.balances(place)
        must(remaining == stated, self.partition, entry, f"{remaining} remain of {place}; it states {stated}")
        must(remaining + held + spent == given, self.partition, entry, f"{place} does not balance")
        must(min(remaining, held, spent, owed) >= 0, self.partition, entry, f"{place} is below zero")
        self.checked += 1


def entries_of(folder):
    """Per partition its entries, in order."""
    for path in sorted(Path(folder).glob("decisions-*.ndjson")):
        with path.open("rb") as lines:
            yield int(path.stem.split("-")[1]), (one for line in lines if "kind" in (one := json.loads(line)))


def ledger(chains):
    """All partitions: each one's accounts, once every entry was looked at. `chains`: partition and entries."""
    found = {}
    for partition, entries in chains:
        found[partition] = chain = Chain(partition)
        for entry in entries:
            chain.take(entry)
    if len({one.partitions for one in found.values() if one.partitions is not None}) > 1:
        raise Wrong("partitions state different numbers of partitions")
    return found


def under_way(found):
    """What was given by one partition and not sealed by the other yet, by account, key and period.

    All chains are needed, as of one moment, or later on the side that gives.
    """
    gave = {name: given for chain in found.values() for name, given in chain.gave.items()}
    for partition, chain in found.items():
        for name, place, amount in chain.got:
            given = gave.pop(name, None)
            if given != (partition, place, amount):
                raise Wrong(f"partition {partition} seals {amount} of {place} by {name}, which gave {given}")
    flying = {}
    for _, place, amount in gave.values():
        flying[place] = flying.get(place, 0) + amount
    return flying


def spent(found):
    """What all partitions together spent and hold of each account and period, and what they were given."""
    sums = {}
    for chain in found.values():
        for place in chain.given:
            given, _, held, used, owed = chain.balances(place)
            sums[place] = [a + b for a, b in zip(sums.get(place, [0, 0, 0, 0]), [given, held, used, owed], strict=True)]
    return sums


def main(folder):
    found = ledger(entries_of(folder))
    flying = sum(under_way(found).values())
    accounts = sum(len(one.given) for one in found.values())
    checked, open_ = sum(one.checked for one in found.values()), sum(len(one.open) for one in found.values())
    print(f"{checked} balances of {accounts} accounts are right, {open_} reservations are open, {flying} is under way")
    return 0 if checked else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
