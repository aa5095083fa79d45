"""What a worker refuses and what a person can decide about it: sixteen partitions, fifteen of them broken."""

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from sidechain.agents.cli.proofs import answer_replayed
from sidechain.agents.lane.layout import LAYOUT_KEY
from sidechain.agents.lane.problems import Remedy
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Account, Proof, Topics
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.replay import Replayer
from tests.answered import answered
from tests.lanes import visible
from tests.mending import DEED, EPOCHS, GAPS, LATER, REFUSED, Broken, Mended, broken_down, mend, put_right
from tests.ruins import (
    ALTERED,
    CONTROL,
    DECIDED,
    EMPTY,
    EXPIRED,
    FORGED,
    HOLE,
    JUNK,
    LINK,
    MIDDLE,
    NO_CHAIN,
    NO_STATE,
    PARTITIONS,
    POLICY,
    SHORT,
    SWAPPED,
    TEXT,
    WHOLE,
)


@pytest.fixture(scope="module")
def broken(broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    return broken_down(broker, tmp_path_factory.mktemp("ruins"))


@pytest.fixture(scope="module")
def mended(broken: Broken) -> Mended:
    return put_right(broken)


@pytest.mark.parametrize("partition", REFUSED)
def test_a_worker_says_what_it_found_and_what_to_do(broken: Broken, partition: int) -> None:
    """The lane stands still with one sentence; the sentence names the repair."""
    line = next(one for one in broken.said.splitlines() if f"shard {partition} stands still" in one)
    assert re.search(REFUSED[partition], line), line
    assert "sidechain repair --" in line or "Put every partition's records back" in line


def test_a_worker_that_refuses_writes_nothing_and_counts_it(broken: Broken) -> None:
    assert broken.halted == len(REFUSED)
    assert broken.before == broken.after


def test_a_repair_beside_a_worker_is_refused(broken: Broken) -> None:
    """Also when that worker's lane stands still: it would go on the moment it is restarted, unasked."""
    assert "has 1 worker (Stable); stop them all first" in broken.beside_a_worker


@pytest.mark.parametrize(
    ("partition", "remedy", "at", "problem", "says"),
    [
        (WHOLE, None, None, AnswerIsNo, "nothing is wrong with partition 0"),
        (WHOLE, "epoch", None, AnswerIsNo, "nothing is wrong with partition 0: its 6 entries stand"),
        (WHOLE, "gap", None, AnswerIsNo, "nothing is wrong with partition 0"),
        (LINK, "gap", None, UsageProblem, "--epoch is what helps here, because the chain cannot go on"),
        (EXPIRED, "epoch", None, UsageProblem, "--gap is what helps here, which keeps the state"),
        (SHORT, "gap", None, UsageProblem, "--resume-at 0, its beginning, .*; --resume-at 2, its end"),
        (SHORT, "gap", 3, UsageProblem, "--resume-at 3 is not in events, which holds offsets 0 to 2"),
        (SWAPPED, "epoch", None, UsageProblem, "no record says where to go on"),
        (SWAPPED, "epoch", 99, UsageProblem, "--resume-at 99 is behind the end of the events, 6"),
        (PARTITIONS, None, None, UsageProblem, "there is no partition 16; there are 16"),
    ],
)
def test_what_would_be_wrong_is_not_done(
    broken: Broken, partition: int, remedy: Remedy | None, at: int | None, problem: type[Exception], says: str
) -> None:
    """Each with the sentence that says what to do instead; with a deed in hand nothing is written either."""
    with pytest.raises(problem, match=says):
        mend(broken.config, partition, remedy, DEED if remedy else None, at)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--yes", "--by", "a", "--why", "b"], 2, "--yes writes only what was named"),
        (["--epoch", "--yes", "--why", "b"], 2, "--by is missing"),
        (["--epoch", "--yes", "--by", "a", "--why", " "], 2, "--why is missing"),
        (["--epoch", "--yes", "--by", "a\nb", "--why", "c"], 2, "--by is one line of up to 2,000"),
        (["--epoch", "--gap"], 2, "one of the two"),
        (["--gap"], 2, "--epoch is what helps here"),
        ([], 0, "nothing was written; to write it: --epoch --by NAME --why TEXT --yes"),
    ],
)
def test_the_command_asks_who_and_why_before_it_writes(
    broken: Broken, words: Sequence[str], code: int, says: str
) -> None:
    config = broken.config
    settings = broken.folder / "one.yaml"
    settings.write_text(f"shard_size: 1\npartitions: {PARTITIONS}\n", encoding="utf-8")
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    done = answered("repair", "--partition", str(HOLE), *at, "--config", str(settings), *words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    if code == 0:
        assert re.search(REFUSED[HOLE], done.stdout)
        assert "epoch 1 begins behind seq 7" in done.stdout
        assert "events go on at 6, control at 0, as entry 7 at offset" in done.stdout


def test_a_repair_that_dies_or_is_overtaken_changes_nothing(mended: Mended) -> None:
    assert mended.dead == -9
    assert mended.after_dead == mended.before
    assert "a worker has begun to write there; nothing was changed" in mended.fenced
    assert mended.after_fenced == mended.before


def test_nothing_that_stood_in_a_log_was_touched(mended: Mended) -> None:
    """The chains of before are the beginnings of the chains of now."""
    for (topic, partition), found in mended.before.items():
        if topic == "dry.decisions":
            assert mended.after[topic, partition][: len(found)] == found, partition


def chain(mended: Mended, partition: int) -> list[bytes]:
    return [value or b"" for _, _, value in mended.after["dry.decisions", partition]]


@pytest.mark.parametrize("partition", EPOCHS)
def test_verify_goes_on_behind_a_repair_and_says_what_was_broken(mended: Mended, partition: int) -> None:
    """The old fault stays found; who began the epoch and why stands in the chain; the new epoch is whole."""
    verifier = Verifier()
    for line in chain(mended, partition):
        verifier.take(line)
    *before, last = verifier.reports
    assert last.number == (2 if partition == TEXT else 1)
    assert last.fault is None
    assert last.entries == 1 + LATER
    assert last.begun is not None
    assert (last.begun.by, last.begun.why, last.begun.at) == DEED
    if partition == NO_CHAIN:  # nothing is left of epoch 0
        assert last.begun.broken.offset is None
        assert before == []
    elif partition in (SWAPPED, FORGED, NO_STATE, POLICY, JUNK):
        assert before[0].is_whole, "what was wrong there cannot be seen in the entries alone"
    else:
        assert before[0].fault is not None


@pytest.mark.parametrize("partition", EPOCHS)
def test_an_epoch_goes_on_exactly_where_the_last_decision_was_made(mended: Mended, partition: int) -> None:
    """No event twice, none left out; and replaying the epoch from its first entry gives its bytes."""
    lines = chain(mended, partition)
    begins = max(at for at, line in enumerate(lines) if b'"kind":"epoch"' in line[:192])
    inputs = {one.offset: one for one in visible(mended.config, "events")[partition]}
    decided = 40 if partition == MIDDLE else DECIDED
    sources = [msgspec.json.decode(line)["source"][2] for line in lines[begins + 1 :]]
    assert sources == [offset for offset in inputs if offset >= decided]
    policy = mended.config.loaded_policy
    replayer = Replayer(policy, partition, lambda _topic, offset: inputs.get(offset))
    assert [replayer.take(line) for line in lines[begins:]] == [None] * (1 + LATER)


@pytest.mark.parametrize("partition", EPOCHS)
def test_an_epoch_begins_with_an_empty_state_under_the_same_layout(mended: Mended, partition: int) -> None:
    """One host has been seen since; of the state before nothing is left that a restore would read."""
    state: dict[bytes, bytes] = {}
    for _, key, value in mended.after["dry.state", partition]:
        state.update({key: value}) if value is not None else state.pop(key, None)
    assert [one for one in state if one.startswith(b"k:")] == [b"k:h%d.example" % partition]
    assert LAYOUT_KEY in state
    assert msgspec.json.decode(state[b"head"])["epoch"] == (2 if partition == TEXT else 1)


@pytest.mark.parametrize(
    ("partition", "topic", "due", "to", "goes_on"),
    [(EXPIRED, "events", 6, 10, 10), (SHORT, "events", 1_006, 0, 0), (CONTROL, "control", 7, 0, DECIDED)],
)
def test_a_gap_names_what_is_missing_and_the_chain_goes_on(
    mended: Mended, partition: int, topic: str, due: int, to: int, goes_on: int
) -> None:
    """The links hold across it, the state stays, and every event that is there is in the gap or has its entry."""
    lines = chain(mended, partition)
    verifier = Verifier()
    assert [verifier.take(line) for line in lines] == [None] * len(lines)
    at = next(at for at, line in enumerate(lines) if b'"kind":"gap"' in line[:192])
    gap = msgspec.json.decode(lines[at])
    assert (gap["topic"], gap["from"], gap["to"], gap["source"]) == (topic, due, to, None)
    assert (gap["by"], gap["why"], gap["at"]) == DEED
    sources = [msgspec.json.decode(line)["source"][2] for line in lines[at + 1 :]]
    assert sources == [one.offset for one in visible(mended.config, "events")[partition] if one.offset >= goes_on]
    known = [msgspec.json.decode(line)["features"]["gap"] for line in lines[at + 1 :]]
    assert None not in known, "the host was known before"


def test_the_next_worker_counts_what_people_sealed(mended: Mended) -> None:
    assert mended.counted == {"gap": len(GAPS), "epoch": len(EPOCHS)}


def test_two_repairs_in_a_row_name_each_other(mended: Mended) -> None:
    """Epoch 2 stands behind the junk that broke epoch 1."""
    junk = next(one for one in mended.after["dry.decisions", TEXT] if one[2] == b"junk again")
    entry = msgspec.json.decode(mended.found[TEXT].plan.entry)
    assert entry["epoch"] == 2
    assert entry["broken"] == {"seq": None, "hash": None, "offset": junk[0]}


class Proved(NamedTuple):
    """What a stranger finds afterwards."""

    accounts: list[Account]
    replayed: list[Proof]


@pytest.fixture(scope="module")
def proved(mended: Mended) -> Proved:
    """The books and the replay of all sixteen partitions."""

    async def scenario() -> Proved:
        async with Topics.of(mended.config) as topics:
            return Proved(await topics.account(), await topics.replay(mended.config.loaded_policy))

    return asyncio.run(scenario())


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_the_books_balance_behind_a_repair_and_say_what_was_passed_over(
    mended: Mended, proved: Proved, partition: int
) -> None:
    """Every event is counted once. One partition does not balance: somebody sealed a second entry for an event."""
    account = proved.accounts[partition]
    assert account.events == len(visible(mended.config, "events")[partition])
    assert account.balanced == (partition != FORGED), account
    assert account.repeated == ([DECIDED - 1] if partition == FORGED else [])
    assert account.explained == {SWAPPED: DECIDED, NO_CHAIN: DECIDED, MIDDLE: 35}.get(partition, 0)
    junk = {LINK: 1, HOLE: 1, ALTERED: 1, EMPTY: 1, TEXT: 2, SWAPPED: DECIDED, MIDDLE: 35}
    assert account.passed_over == junk.get(partition, 0)
    goes_on = {
        EXPIRED: (DECIDED, 10),
        SHORT: (1_006, 0),
        NO_CHAIN: (0, DECIDED),
        SWAPPED: (0, DECIDED),
        MIDDLE: (5, 40),
    }
    named = [(one.due, one.to) for one in account.passages]
    if partition in goes_on:
        assert named == [goes_on[partition]]
    assert all(one.by == DEED.by for one in account.passages)
    assert sum(one.records for one in account.passages) == account.passed_over


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_the_replay_of_every_repaired_chain_is_identical_from_its_last_epoch_on(
    mended: Mended, proved: Proved, partition: int
) -> None:
    """What was broken is said of its own epoch; a gap does not end one."""
    *before, last = proved.replayed[partition].epochs
    if partition in (SHORT, EXPIRED):  # the events its first entries name are gone
        assert last.fault is not None
        assert last.fault.problem == "its input is gone"
    elif partition == CONTROL:
        assert last.fault is not None
        assert last.fault.expected == "control, partition 0, offset 6"
    else:
        assert last.fault is None
    if partition in EPOCHS:
        assert (last.number, last.entries) == (2 if partition == TEXT else 1, 1 + LATER)
        assert last.begun is not None
        assert last.begun.by == DEED.by
    broken = {LINK, HOLE, ALTERED, EMPTY, TEXT, SWAPPED, FORGED, POLICY, MIDDLE}
    assert [one.fault is not None for one in before] == [partition in broken] * len(before)


def test_the_commands_answer_for_one_epoch_alone(mended: Mended, proved: Proved) -> None:
    """Epoch 2 is right, epoch 1 of the same partition is not; asked for all, the faults of before count."""
    config = mended.config
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    one = answered("replay", "--epoch", "2", *at)
    assert (one.returncode, one.stdout.count("identical")) == (0, 1), one.stdout + one.stderr
    assert "begun by anna: the drill of November" in one.stdout
    for epoch, says in ((None, "not identical"), (1, "not identical"), (9, "no chain has an epoch 9")):
        with pytest.raises(AnswerIsNo, match=says):
            answer_replayed(proved.replayed, json=False, epoch=epoch)
    answer_replayed(proved.replayed, json=True, epoch=2)
    account = answered("account", *at)
    assert account.returncode == 1
    assert account.stdout.count("NOT balanced") == 1
    line = account.stdout.splitlines()[MIDDLE]
    assert "35 events lie behind a repair; epoch 1 goes on at event 40 where 5 was due (anna)" in line
