"""Sharing out shards: whole, balanced, sticky, and the same whoever leads."""

import random
from types import SimpleNamespace

import pytest

from sidechain.agents.lane.assignor import Claim, ShardAssignor, partitions_of, shards_of, share


def claims(**owned: list[int]) -> dict[str, Claim]:
    return {member: Claim(shard_size=4, round=1, owned=tuple(held)) for member, held in owned.items()}


@pytest.mark.parametrize(
    ("shards", "before", "after"),
    [
        (3, {"a": []}, {"a": [0, 1, 2]}),
        (4, {"a": [0, 1, 2, 3], "b": []}, {"a": [0, 1], "b": [2, 3]}),
        (5, {"a": [0, 1, 2, 3, 4], "b": []}, {"a": [0, 1, 2], "b": [3, 4]}),  # the extra one stays where it is
        (5, {"a": [3, 4], "b": [0, 1, 2]}, {"a": [3, 4], "b": [0, 1, 2]}),  # nothing moves without need
        (4, {"b": [2, 3]}, {"b": [0, 1, 2, 3]}),  # a left
        (2, {"a": [0], "b": [1], "c": []}, {"a": [0], "b": [1], "c": []}),  # more workers than shards
        (2, {"a": [0, 7], "b": []}, {"a": [0], "b": [1]}),  # a claim to what does not exist
        (0, {"a": [], "b": []}, {"a": [], "b": []}),
        (3, {}, {}),
    ],
)
def test_shards_move_only_as_balance_needs(shards: int, before: dict, after: dict) -> None:
    """Counts differ by one at most."""
    assert share(shards, claims(**before)) == after


def test_the_later_claim_is_the_true_one() -> None:
    """A worker that slept through a round still claims what was given away."""
    told = {"old": Claim(shard_size=4, round=3, owned=(0, 1)), "new": Claim(shard_size=4, round=5, owned=(0, 1))}
    assert share(2, told) == {"new": [0], "old": [1]}


def test_any_claims_lead_to_a_fair_share() -> None:
    """Every shard once, counts within one, whatever the members believe; the order of members changes nothing."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for _ in range(3_000):
        shards, members = chance.randrange(0, 20), [f"m{one}" for one in range(chance.randrange(1, 8))]
        told = {
            member: Claim(
                shard_size=4,
                round=chance.randrange(4),
                owned=tuple(chance.sample(range(25), chance.randrange(0, 10))),
            )
            for member in members
        }
        shared = share(shards, told)
        assert sorted(shard for held in shared.values() for shard in held) == list(range(shards)), seed
        counts = [len(held) for held in shared.values()]
        assert max(counts) - min(counts) <= 1, seed
        shuffled = dict(chance.sample(sorted(told.items()), len(told)))
        assert share(shards, shuffled) == shared, seed


def test_a_fair_share_is_kept() -> None:
    """Assigned again with the same members, nothing moves."""
    chance = random.Random(1)
    for _ in range(1_000):
        shards, members = chance.randrange(0, 20), [f"m{one}" for one in range(chance.randrange(1, 8))]
        shared = share(shards, {member: Claim(shard_size=4) for member in members})
        told = {member: Claim(shard_size=4, round=1, owned=tuple(held)) for member, held in shared.items()}
        assert share(shards, told) == shared


@pytest.mark.parametrize(
    ("shard", "size", "partitions", "held"),
    [(0, 4, 8, [0, 1, 2, 3]), (1, 4, 8, [4, 5, 6, 7]), (1, 4, 6, [4, 5]), (0, 4, 1, [0]), (2, 1, 3, [2])],
)
def test_a_shard_is_a_block(shard: int, size: int, partitions: int, held: list[int]) -> None:
    """The last block may be shorter."""
    assert list(partitions_of(shard, size, partitions)) == held
    assert shards_of(held, size) == [shard]


def cluster(partitions: int) -> SimpleNamespace:
    return SimpleNamespace(partitions_for_topic=lambda topic: set(range(partitions)) if topic == "events" else None)


def test_what_a_member_holds_travels_through_the_group() -> None:
    """Over the wire's bytes: metadata out, assignment in, and the next metadata claims what was assigned."""
    first, second = ShardAssignor("events", 2), ShardAssignor("events", 2)
    alone = first.assign(cluster(5), {"a": first.metadata({"events"})})
    first.on_assignment(alone["a"])
    assert alone["a"].assignment == [("events", [0, 1, 2, 3, 4])]
    both = second.assign(cluster(5), {"a": first.metadata({"events"}), "b": second.metadata({"events"})})
    assert both["a"].assignment == [("events", [0, 1, 2, 3])]
    assert both["b"].assignment == [("events", [4])]


def test_members_that_disagree_get_nothing() -> None:
    """Blocks of another size would overlap ours; what is no claim at all disagrees too."""
    ours, theirs = ShardAssignor("events", 4), ShardAssignor("events", 2)
    stranger = ours.metadata({"events"})
    stranger.user_data = b"\x00\x01"
    told = {"a": ours.metadata({"events"}), "b": theirs.metadata({"events"}), "c": stranger}
    shared = ours.assign(cluster(8), told)
    assert shared["a"].assignment == [("events", [0, 1, 2, 3, 4, 5, 6, 7])]
    assert shared["b"].assignment == shared["c"].assignment == []
