"""A candidate walked along a chain decides what a sealed run decides: same kernel, same inputs, same signals.

Inputs as in the batching property: repeated ids, bad bytes, wild times, policies and junk on `control` in between.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.candidate import Candidate
from sidechain.models.compare import UNDECIDED, Comparison, Pair, judged
from sidechain.models.dry import Fold
from sidechain.models.dry.entry import Decision, Duplicate, Rejected
from sidechain.models.dry.rehearsal import Rehearsal
from sidechain.models.policy import Policy
from tests.property.test_fold_batches import POLICIES, SHARING, Step, batches, inputs, said, small_blocks, take

KINDS = {"decision": Decision, "duplicate": Duplicate, "rejected": Rejected}
LINKS = {"prev", "next", "hash"}  # what a rehearsal does not make
WITH_SIGNALS = (POLICIES[0], POLICIES[2])
WITHOUT_SIGNALS = POLICIES[1]
WHOLE = [False] * 40


def sealed(policy: Policy, steps: Sequence[Step]) -> list[bytes]:
    """The chain of these inputs."""
    (batch,) = batches(steps, WHOLE)
    return [value for _, value in take(Fold(policy, 0, partitions=SHARING), batch)[0]]


def pairs_of(candidate: Policy, chain: Sequence[bytes], steps: Sequence[Step]) -> list[Pair]:
    """What a candidate makes of a chain."""
    records = {(topic, one.offset): one for batch in batches(steps, WHOLE) for topic, one in batch}
    walk = Candidate(candidate, 0, lambda topic, offset: records.get((topic, offset)), partitions=SHARING)
    return [pair for one in chain if (pair := walk.take(one)) is not None]


@given(inputs, st.sampled_from(POLICIES))
@settings(max_examples=50)
def test_a_rehearsal_makes_the_entries_a_fold_seals(steps: list[Step], policy: Policy) -> None:
    """Field by field, but for the links; a decision's features and signals included."""
    events = [one for batch in batches(steps, WHOLE) for topic, one in batch if topic == "events"]
    with small_blocks():
        lines = [value for _, value in Fold(policy, 0, partitions=SHARING).events(events, said).entries]
        made: list = []
        Rehearsal(policy, 0, made.append, partitions=SHARING).events(events, said)
    rehearsed = [msgspec.json.decode(msgspec.json.encode(one)) for one in made]
    assert [unlinked(one) for one in rehearsed] == [unlinked(msgspec.json.decode(one)) for one in lines]


@given(inputs, st.sampled_from(WITH_SIGNALS), st.sampled_from(WITH_SIGNALS))
@settings(max_examples=50)
def test_a_back_test_shows_the_flips_a_real_run_then_shows(steps: list[Step], old: Policy, new: Policy) -> None:
    """Run under one policy, back-test another, run under that one: the same verdicts, rules, flags and reasons.

    Except where a signal would have been known now and was not sealed then, because the input was no decision, or the
    policy of then had seen later events and took it for too old: the candidate can only take it for unknown. Where
    that made another decision, accounts are others from there on.
    """
    events = [one for one in steps if one[0] != "control"]
    with small_blocks():
        before, after = sealed(old, events), sealed(new, events)
        pairs = pairs_of(new, before, events)
    before, after = ([one for one in chain if b'"source":["events"' in one] for chain in (before, after))
    assert [one.before for one in pairs] == [said_by(one) for one in before]
    for pair, one in zip(pairs, after, strict=True):
        real = said_by(one)
        if real[3] == pair.after.unknown:
            assert pair.after == real
        else:
            assert (real[3], pair.after.unknown) == ((), ("risk",))
            assert pair.before.verdict in UNDECIDED or "risk" in pair.before.unknown
            if pair.after != real:
                break
    assert [one.seq for one in pairs] == [at for at, one in enumerate(events) if one[0] == "events"]


@given(inputs, st.sampled_from(POLICIES))
@settings(max_examples=50)
def test_policies_in_the_chain_are_passed_over(steps: list[Step], old: Policy) -> None:
    """The candidate decides as if it had been in force from the first entry on, whatever was activated meanwhile."""
    only = [one for one in steps if one[0] != "control"]
    with small_blocks():
        pairs = pairs_of(WITHOUT_SIGNALS, sealed(old, steps), steps)
        alone = pairs_of(WITHOUT_SIGNALS, sealed(old, only), only)
    assert [one.after for one in pairs] == [one.after for one in alone]


@given(inputs, st.sampled_from(POLICIES), st.sampled_from(POLICIES), st.lists(st.integers(0, 3), min_size=40))
@settings(max_examples=40)
def test_sums_do_not_ask_who_added_what(steps: list[Step], old: Policy, new: Policy, owners: list[int]) -> None:
    """However pairs are shared out and in whatever order sums are merged."""
    with small_blocks():
        pairs = pairs_of(new, sealed(old, steps), steps)
    whole, parts = Comparison(), [Comparison() for _ in range(4)]
    for pair, owner in zip(pairs, owners, strict=False):
        for one in (whole, parts[owner]):
            one.add(pair, stake=pair.seq % 5 or None, is_bad=(None, True, False)[pair.seq % 3])
    merged = Comparison()
    for one in (parts[2], parts[0], parts[3], parts[1]):
        merged.merge(one)
    assert merged == whole


def unlinked(entry: dict) -> dict:
    """An entry without its place in a chain."""
    return {name: value for name, value in entry.items() if name not in LINKS}


def said_by(line: bytes) -> tuple[Any, ...]:
    """What a sealed entry says, read another way: whole, not only what a back-test needs."""
    entry = msgspec.json.decode(line)
    if entry["kind"] != "decision":
        return judged(msgspec.convert(entry, KINDS[entry["kind"]]))
    unknown = tuple(name for name, one in entry["signals"].items() if "unknown" in one)
    rules = tuple(one[1] for one in entry["reasons"] if one[0] == "rule")
    typologies = tuple(one[1] for one in entry["reasons"] if one[0] == "typology")
    return (entry["action"], rules, typologies, unknown, tuple(entry["flags"]), "")
