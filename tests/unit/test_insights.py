"""Insights: what was found out once holds for a while, is bounded, and survives its process."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.dry.governance import (
    CorruptInsight,
    Governance,
    Insights,
    scenario,
)

RULES = Governance()
TTL = 86_400_000


def learned(insights, name, decision, entry, now_ms):
    """A decision pays for finding out, and an entry settles it."""
    insights.expect(name, decision, now_ms)
    assert insights.learn(decision, entry, now_ms) == name


def test_an_insight_holds_for_less_than_its_time():
    """86,400 s of event time; then it has to be found out again."""
    insights = Insights(RULES)
    name = scenario(["refund", 3, None])
    learned(insights, name, 41, 97, 1_000)
    assert insights.find(name, 1_000 + TTL - 1) == 41
    assert insights.find(name, 1_000 + TTL) is None
    assert insights.find(scenario(["refund", 3]), 1_000) is None


def test_nothing_is_known_before_it_is_settled():
    """Two decisions paid for it; the first that waits finds it out, unless nothing comes of it."""
    insights, name = Insights(RULES), scenario(["refund"])
    insights.expect(name, 41, 0)
    insights.expect(name, 42, 0)
    assert insights.find(name, 0) is None
    assert insights.learn(42, 43, 0) is None
    assert insights.learn(41, 44, 0) == name
    assert insights.find(name, 0) == 41
    assert insights.learn(41, 45, 0) is None
    insights.expect(name, 46, 5)  # found out anew: until it is settled nothing is known
    assert insights.find(name, 5) is None
    insights.forget(46)
    insights.forget(46)
    assert (insights.learn(46, 47, 5), len(insights)) == (None, 0)


def test_a_scenario_is_told_apart_by_every_part():
    """No two ways of cutting the same text are one scenario."""
    alike = [["a", "bc"], ["ab", "c"], ["abc"], ["a", "b", "c"], [], [""], [None], [0], ["0"], ["a", "bc", None]]
    assert len({scenario(one) for one in alike}) == len(alike)


def test_insights_are_bounded_and_the_oldest_goes_first():
    """Written again, it is young again; one that is awaited goes like any other."""
    insights = Insights(Governance(insights=2))
    names = [scenario([one]) for one in range(3)]
    for entry, at in enumerate((0, 1, 0, 2)):
        learned(insights, names[at], 2 * entry, 2 * entry + 1, entry)
    assert [insights.find(one, 5) for one in names] == [4, None, 6]
    insights.expect(names[1], 9, 5)
    assert [insights.find(one, 5) for one in names] == [None, None, 6]
    insights.change(Governance(insights=1))
    assert (insights.find(names[2], 5), insights.learn(9, 10, 5)) == (None, names[1])


def test_what_is_past_its_time_goes_with_the_next_that_comes():
    """Sixteen at most at once: a pause in the stream makes no single entry slow."""
    insights = Insights(RULES)
    for seq in range(20):
        insights.expect(scenario([seq]), seq, 0)
    insights.expect(scenario(["new"]), 20, TTL)
    assert len(insights) == 5
    insights.expect(scenario(["newer"]), 21, TTL)
    assert len(insights) == 2


steps = st.lists(
    st.tuples(st.sampled_from(("expect", "expect", "learn", "forget")), st.integers(0, 6), st.integers(0, TTL // 2)),
    max_size=40,
)


def stepped(insights, what, number, entry, now_ms):
    """One entry's step; `number` names a scenario, or how many entries ago a decision was."""
    if what == "expect":
        insights.expect(scenario([number]), entry, now_ms)
    elif what == "learn":
        insights.learn(entry - 1 - number, entry, now_ms)
    else:
        insights.forget(entry - 1 - number)


@settings(max_examples=100)
@given(steps, st.integers(0, 40))
def test_insights_written_down_and_read_back_have_the_same_future(stored, cut):
    """Through the records of the changelog, in any order; and what they sum up to is the same."""
    rules = Governance(insights=4)
    one, log, now_ms = Insights(rules), {}, 0
    two = one
    for seq, (what, number, later_ms) in enumerate(stored):
        now_ms += later_ms
        if seq == cut:
            two = Insights(rules)
            two.restore(sorted(log.items(), reverse=True))
            assert two.total == one.total
        for each in (one, two):
            stepped(each, what, number, seq, now_ms)
        changed = list(one.changes())
        assert two is one or list(two.changes()) == changed
        for name, value in changed:
            log.pop(name, None) if value is None else log.update({name: value})
        for number in range(7):
            assert one.find(scenario([number]), now_ms) == two.find(scenario([number]), now_ms)
    assert len(one) <= 4
    assert len(log) == len(one)


@pytest.mark.parametrize(
    "value",
    [b"", b"[1]", b'["1",2,3]', b"[1,2]", b"[1,2,3,4]", b"[2,1,3]", b"[-1,2,3]", b"null", b"[1.5,2,3]", b"[" * 3_000],
)
def test_a_corrupt_insight_is_refused(value):
    """With the record's name."""
    with pytest.raises(CorruptInsight, match="insight:"):
        Insights(RULES).restore([(b"insight:" + b"0" * 32, value)])


@pytest.mark.parametrize(
    "records",
    [
        {b"insight:00": b"[1,1,0]"},
        {b"insight:%032d" % 1: b"[1,1,0]", b"insight:%032d" % 2: b"[1,1,0]"},  # an entry writes one
    ],
)
def test_insights_that_no_entries_write_are_refused(records):
    """Whatever each of them looks like."""
    with pytest.raises(CorruptInsight, match="no entry writes this"):
        Insights(RULES).restore(records.items())
