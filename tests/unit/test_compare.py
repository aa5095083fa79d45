"""What a comparison counts, worked out by hand, and where its word changes."""

from dataclasses import replace
from itertools import count

import pytest

from sidechain.models.candidate import Candidate, Mismatch
from sidechain.models.compare import NO_WEEK, Comparison, Flips, Hits, Judged, Pair, week_of
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from sidechain.models.dry.replay import rows_of_inputs
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy, Signal, Typology
from sidechain.models.verdict import STATED, verdict
from tests.desk import DAY as DAY_MS
from tests.desk import POLICY as BUDGETED
from tests.desk import T0 as DAY_0
from tests.desk import Desk
from tests.doors import LISTED, activation, chunk
from tests.support import T0, event, feature, line, policy, records, rule

WEEK_MS = 7 * 86_400_000


def judging(limit: int, **more: object) -> Policy:
    """Above `limit` to review; odd numbers are noted; both together are a typology."""
    return policy(
        rules=[rule("big", f"event.n > {limit}", "review"), rule("odd", "event.n % 2 == 1")],
        typologies=[Typology(id="both", title="", weights={"big": 1, "odd": 1}, review_at=2)],
        **more,
    )


def pairs(old: Policy, new: Policy, events: list) -> list[Pair]:
    """The chain of these events under one policy, walked under another."""
    inputs = records(events)
    chain = [value for _, value in Fold(old, 0).events(inputs).entries]
    walk = Candidate(new, 0, lambda _topic, offset: inputs[offset])
    return [pair for one in chain if (pair := walk.take(one)) is not None]


def test_sums_worked_out_by_hand() -> None:
    """The limit falls from 10 to 8 and n may no longer be above 20.

    n            7      9      10     12     21        12 again   "x"
    before       allow  allow  allow  review review    duplicate  rejected (wrong-type)
    after        allow  review review review rejected  duplicate  rejected (wrong-type)
    truth        -      bad    good   bad    bad       bad        -
    week         1      1      2      2      2         2          2
    """
    bounded = replace(judging(8).event.fields[3], maximum=20)
    fields = tuple(bounded if one.name == "n" else one for one in judging(8).event.fields)
    numbers = [7, 9, 10, 12, 21, 12, "x"]
    ids = [0, 1, 2, 3, 4, 3, 5]
    events = [
        {**event(0), "id": f"e-{name}", "n": n, "at": T0 + (WEEK_MS if at > 1 else 0) + at}
        for at, (name, n) in enumerate(zip(ids, numbers, strict=True))
    ]
    found = Comparison(examples=2)
    truth = [None, True, False, True, True, True, None]
    old = judging(10, max_step_ms=2 * WEEK_MS)
    made = pairs(old, judging(8, fields=fields, max_step_ms=2 * WEEK_MS), events)
    flips = [found.add(one, stake, bad) for one, stake, bad in zip(made, [1, 20, 3, 4, None, 6, 7], truth, strict=True)]

    assert [one and (one.id, one.before, one.after, one.began, one.ended) for one in flips] == [
        None,
        ("e-1", "allow", "review", ("big",), ()),
        ("e-2", "allow", "review", ("big",), ()),
        None,
        ("e-4", "review", "rejected", (), ("big", "odd")),
        None,
        None,
    ]
    assert found.policies == {old.ref: 7}
    assert (found.sums.inputs, found.sums.flips, found.sums.stricter, found.sums.milder) == (7, Flips(3, 23, 1), 2, 0)
    assert found.moves == {("allow", "review"): Flips(2, 23), ("review", "rejected"): Flips(1, 0, 1)}
    assert [one.id for one in found.shown["allow", "review"]] == ["e-1", "e-2"]  # the most at stake first
    assert found.verdicts_before == {"allow": 3, "review": 2, "duplicate": 1, "rejected": 1}
    assert found.verdicts_after == {"allow": 1, "review": 3, "duplicate": 1, "rejected": 2}
    assert found.rejections == {("", "out-of-bounds"): 1}
    big, odd, both = found.rules["big"], found.rules["odd"], found.typologies["both"]
    assert (big.before, big.after, big.began, big.ended, big.flips) == (2, 3, 2, 1, Flips(3, 23, 1))
    assert (odd.before, odd.after, odd.began, odd.ended, odd.flips) == (3, 2, 0, 1, Flips(2, 20, 1))
    assert (both.before, both.after, both.began, both.ended, both.flips) == (1, 1, 1, 1, Flips(2, 20, 1))
    first, second = week_of(T0), week_of(T0 + WEEK_MS)
    assert {week: (one.inputs, one.flips.count) for week, one in found.weeks.items()} == {first: (2, 1), second: (5, 2)}
    assert (found.earliest_ms, found.latest_ms) == (T0, T0 + WEEK_MS + 5)
    # The repetition is not judged again. Before: 12 and 21 stopped, both bad. After: 9, 10 and 12, of which two bad.
    assert found.sums.labelled == 4
    assert found.sums.hits_before == Hits(named=2, named_bad=2, bad=3)
    assert found.sums.hits_after == Hits(named=3, named_bad=2, bad=3)
    assert (found.sums.caught, found.sums.missed) == (1, 1)


def test_of_each_kind_of_flip_a_few_are_kept() -> None:
    """The most at stake first, then the earliest; how many flip is counted all the same."""
    found = Comparison(examples=2)
    for seq, stake in enumerate([5, 9, None, 9, 5]):
        found.add(Pair(0, seq, "p", str(seq), T0, Judged("allow"), Judged("block")), stake)
    ((move, flips, shown),) = found.listed()
    assert (move, flips) == (("allow", "block"), Flips(5, 28, 1))
    assert [one.seq for one in shown] == [1, 3]


def test_an_epoch_begins_with_an_empty_memory_and_mends_what_was_broken() -> None:
    """What stands between the break and the epoch counts for nothing; behind it the candidate too has forgotten."""
    one = policy(features=[feature("seen", "count", "1h")], rules=[rule("often", "features.seen > 2", "review")])
    inputs = records([event(at) for at in range(7)])
    chain = [value for _, value in Fold(one, 0).events(inputs[:4]).entries]
    broken = [*chain[:3], b"not an entry", chain[3]]
    again, opening = Fold.begin_epoch(one, 0, 1, stated(broken[-1]), {"events": 4}, at_ms=T0, by="anna", why="broken")
    behind = [value for _, value in again.events(inputs[4:]).entries]
    walk = Candidate(one, 0, lambda _topic, offset: inputs[offset])
    made = [pair for one_line in [*broken, opening, *behind] if (pair := walk.take(one_line))]
    walk.finish()
    assert [(pair.before.verdict, pair.after.verdict) for pair in made] == [
        ("allow", "allow"),
        ("allow", "allow"),
        ("review", "review"),
        ("allow", "allow"),  # the first of the epoch, counted from one again
        ("allow", "allow"),
        ("review", "review"),
    ]


def test_behind_an_epoch_a_candidate_s_accounts_are_those_of_the_chain() -> None:
    """The same policy flips nothing: what was spent before nobody knows, on either side."""
    desk, said = Desk(BUDGETED), {"team": "red"}
    for number in range(2):
        desk.event(100, at=number, **said)
    deed = {"at_ms": DAY_0 + 1_000, "by": "ben", "why": "lost"}
    fold, opening = Fold.begin_epoch(
        desk.fold.policy, 0, 1, stated(desk.lines[-1]), desk.fold.next, partitions=1, **deed
    )
    desk.fold = fold
    lines = [*desk.lines, opening]
    desk.lines = []
    for number in range(2, 6):
        desk.event(100, at=number * DAY_MS // 3, **said)
    walk = Candidate(fold.policy, 0, lambda topic, offset: desk.inputs[topic, offset], partitions=1)
    made = [pair for one in [*lines, *desk.lines] if (pair := walk.take(one))]
    assert [one.after.verdict for one in made] == [one.before.verdict for one in made]
    assert {one.before.verdict for one in made[2:]} == {"allow", "block"}


@pytest.mark.parametrize(
    ("at_ms", "week"),
    [
        (0, "1970-W01"),
        (915_148_800_000, "1998-W53"),  # 1999-01-01, a Friday
        (1_704_067_199_999, "2023-W52"),  # the last millisecond of a Sunday
        (1_704_067_200_000, "2024-W01"),
        (None, NO_WEEK),
        (2**62, "after the year 9999"),
    ],
)
def test_weeks_are_iso_weeks_in_utc(at_ms: int | None, week: str) -> None:
    """A week belongs to the year of its Thursday."""
    assert week_of(at_ms) == week


def test_a_signal_the_chain_never_asked_for_is_unknown() -> None:
    """And it is counted, so that nobody takes silence for a low risk."""
    asks = policy(signals=(Signal(name="risk", max_age_ms=1),), rules=[rule("risky", "signals.risk > 1", "block")])
    found = Comparison()
    for one in pairs(policy(), asks, [event(0), event(1)]):
        found.add(one)
    assert (found.unknown_before, found.unknown_after) == ({}, {"risk": 2})
    assert found.sums.flips.count == 0


def test_flags_are_counted_on_both_sides() -> None:
    """A longer window is no longer late."""
    short, long = (policy(features=[feature("seen", "count", window)]) for window in ("1m", "1h"))
    found = Comparison()
    for one in pairs(short, long, [event(600), event(0)]):
        found.add(one)
    assert (found.flags_before, found.flags_after) == ({"late": 1}, {})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda chain: chain[1:], "begins with entry 1; what came before it is needed"),
        (lambda chain: [chain[0], chain[2]], "entry 2 stands where entry 1 was due"),
        (lambda chain: [chain[0], chain[1][:-9]], "what stands where entry 1 was due is none"),
        (lambda chain: [chain[0], b"id,host"], "what stands where entry 1 was due is none"),
        (
            lambda chain: [one.replace(b'"policy":"test@', b'"policy":"doors@') for one in chain],
            "made under pack doors",
        ),
        (lambda chain: [one.replace(b'["events",0,', b'["events",3,') for one in chain], "is of partition 3"),
        (lambda chain: [chain[0], chain[1].replace(b",0,1]", b",0,9]")], "the event at offset 9, which is not there"),
        (lambda chain: [chain[0], chain[1].replace(b",0,1]", b",0,0]")], "do not belong to these decisions"),
    ],
)
def test_what_does_not_belong_together_is_a_sentence(change, sentence: str) -> None:
    """Nothing is counted that was made of something else."""
    inputs = records([event(0), event(1), event(2)])
    chain = [value for _, value in Fold(judging(10), 0).events(inputs).entries]
    walk = Candidate(judging(8), 0, lambda _topic, offset: inputs[offset] if offset < 3 else None)
    with pytest.raises(Mismatch, match=sentence):  # noqa: PT012 - some are known at the end only
        for one in change(chain):
            walk.take(one)
        walk.finish()


def compared(
    inputs: int = 10_000,
    stricter: int = 0,
    milder: int = 0,
    rejected: int = 0,
    before: tuple[int, int] = (1_000, 500),
    after: tuple[int, int] = (1_000, 500),
) -> Comparison:
    """So many of each; labels: (stopped, of them bad), of 1,000 bad ones."""
    found = Comparison()
    for times, was, now in ((stricter, "allow", "block"), (milder, "block", "allow"), (rejected, "allow", "rejected")):
        for seq in range(times):
            found.add(Pair(0, seq, "p", None, None, Judged(was), Judged(now)))
    found.sums.inputs = inputs
    found.sums.hits_before, found.sums.hits_after = Hits(*before, 1_000), Hits(*after, 1_000)
    return found


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (compared(), "PROMOTE"),  # nothing flips
        (compared(stricter=100), "PROMOTE"),  # 100 bp, on the limit
        (compared(stricter=101), "REVIEW"),
        (compared(milder=10), "PROMOTE"),  # 10 bp, on the limit
        (compared(milder=11), "REVIEW"),
        (compared(inputs=1_000, stricter=1), "PROMOTE"),
        (compared(inputs=999, stricter=1), "REVIEW"),
        (compared(inputs=999), "REVIEW"),
        (compared(rejected=10), "PROMOTE"),  # 10 bp, on the limit
        (compared(rejected=11), "REJECT"),
        (compared(stricter=1, before=(100, 50)), "PROMOTE"),
        (compared(stricter=1, before=(99, 50)), "REVIEW"),  # too few labels to say anything
        (compared(stricter=1, after=(99, 0), before=(100, 0)), "REVIEW"),
        (compared(stricter=1, after=(1_000, 490)), "PROMOTE"),  # precision falls by 100 bp, recall too: on the limits
        (compared(stricter=1, after=(1_021, 500)), "REJECT"),  # precision 4897: by 103 bp
        (compared(stricter=1, after=(900, 489)), "REJECT"),  # recall falls by 110 bp, precision rises
        (compared(stricter=1, after=(1_000, 600)), "PROMOTE"),
        (compared(rejected=11, stricter=9_000), "REJECT"),  # rejecting comes before doubting
    ],
)
def test_the_word_changes_beyond_its_limits(found: Comparison, word: str) -> None:
    """A value on a limit is within it."""
    said = verdict(found)
    assert said.word == word
    assert all(said.why)


def test_limits_can_be_stated_otherwise() -> None:
    """By whoever asks; the word follows."""
    assert verdict(compared(stricter=1), replace(STATED, flips_bp=0)).word == "REVIEW"


def listed_chain() -> tuple[list[bytes], dict[tuple[str, int], Line]]:
    """Four events of one badge; between them it is put on a list, and taken off again."""
    fold, inputs, chain = Fold(load(LISTED.encode(), name="doors"), 0), {}, []
    records = [None, chunk("a\n"), activation("a\n"), None, None, chunk("b\n"), activation("b\n", [2], version=2), None]
    offsets = {"events": count(), "control": count()}
    rows = rows_of_inputs(lambda topic, offset: inputs.get((topic, offset)))
    for at, one in enumerate(records):
        topic = "events" if one is None else "control"
        value = line({"id": f"e-{at}", "badge": "a", "at": 1_000 * at}) if one is None else one
        record = Line(next(offsets[topic]), b"a" if topic == "events" else b"doors/lost", value)
        inputs[topic, record.offset] = record
        made = fold.events([record]) if topic == "events" else fold.control(record, rows=rows)
        chain += [sealed for _, sealed in made.entries]
    return chain, inputs


def test_lists_come_into_force_where_they_did() -> None:
    """The candidate asks the version that stood at each input; what it makes of it is its own."""
    chain, inputs = listed_chain()
    milder = load(LISTED.replace("then: block", "then: review").encode(), name="doors")
    walk = Candidate(milder, 0, lambda topic, offset: inputs.get((topic, offset)))
    made = [pair for one in chain if (pair := walk.take(one)) is not None]
    assert [(one.before.verdict, one.after.verdict) for one in made] == [
        ("allow", "allow"),
        ("block", "review"),
        ("block", "review"),
        ("allow", "allow"),
    ]


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (("control", 1), "its control record is not here"),
        (("control", 0), "the rows of lost@1:.* are not on `control`"),
    ],
)
def test_a_list_that_is_gone_is_a_sentence(gone: tuple[str, int], sentence: str) -> None:
    """Without it nobody could say what the candidate would have decided."""
    chain, inputs = listed_chain()
    del inputs[gone]
    walk = Candidate(load(LISTED.encode(), name="doors"), 0, lambda topic, offset: inputs.get((topic, offset)))
    walk.take(chain[0])
    with pytest.raises(Mismatch, match=sentence):
        walk.take(chain[1])
