"""Proposals of lists: what would come and go, what they are ground for, and that chains name the one they followed."""

import json
from hashlib import sha256
from typing import Any

import pytest

from sidechain.agents.problems import UsageProblem
from sidechain.agents.proposals import Proposed, must_allow_list
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.lists import Content, Table, list_ref
from sidechain.models.dry.replay import Replayer
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.proposal import Draft, read, sealed, to_list
from tests.doors import LISTED, activation, chunk
from tests.unit.test_proposals import AFTER, BEFORE, CREATED, DAY_MS, draft

POLICY = load(LISTED.encode(), name="doors")
NAME = "cd" * 32


def table(text: str, value: Any = None) -> Table:
    content = Content(sha256(text.encode()).hexdigest(), text.count("\n"), "string", value)
    return Table(content, text.splitlines(keepends=True))


def proposed(new: Table, before: Table | None = None, version: int = 2) -> Proposed:
    change = to_list(list_ref("lost", version, new.content.digest), new, before, None)
    fields = {name: getattr(draft(), name) for name in ("pack", "author", "why", "created", "expires")}
    return Proposed(read(sealed(Draft(**fields, change=change))), 0, None)


@pytest.mark.parametrize(
    ("before", "after", "value", "words"),
    [
        (None, "a\nb\n", None, "2 rows"),
        ("a\nb\n", "b\nc\nd\n", None, "3 rows instead of 2: 2 come, 1 go"),
        ("a\n", "a\n", None, "1 rows instead of 1: 0 come, 0 go"),
        ("a\t1\nb\t2\n", "a\t1\nb\t3\nc\t4\n", "int", "3 rows instead of 2: 1 come, 0 go, 1 have another value"),
    ],
)
def test_it_says_how_many_rows_come_and_go(before, after, value, words):
    """And names none of them: it is kept for ever."""
    change = proposed(table(after, value), None if before is None else table(before, value)).proposal.change
    assert change.words == (words,)


@pytest.mark.parametrize(
    ("version", "rows", "at_ms", "why"),
    [
        (2, "a\n", CREATED, None),
        (2, "a\n", CREATED + DAY_MS - 1, None),
        (2, "a\n", CREATED + DAY_MS, "has expired"),
        (3, "a\n", CREATED, "is about lost@2:[0-9a-f]{12}, and the file is lost@3:"),
        (2, "b\n", CREATED, "is about lost@2:[0-9a-f]{12}, and the file is lost@2:"),
    ],
    ids=["in time", "at its last moment", "expired", "another version", "other rows"],
)
def test_what_it_is_ground_for(version, rows, at_ms, why):
    """To activate these very rows under this number, in its time."""
    content = table(rows).content
    asked = (proposed(table("a\n")), list_ref("lost", version, content.digest), content, at_ms)
    if why is None:
        must_allow_list(*asked)
        return
    with pytest.raises(UsageProblem, match=why):
        must_allow_list(*asked)


def test_a_proposal_of_a_policy_is_no_ground_for_a_list():
    of_policy = Proposed(read(sealed(draft())), 0, None)
    assert AFTER.ref != BEFORE.ref
    with pytest.raises(UsageProblem, match=r"is about policy doors@2:.*, not about a list"):
        must_allow_list(of_policy, "lost@1:aaaaaaaaaaaa", table("a\n").content, CREATED)


@pytest.mark.parametrize(
    ("proposal", "kind"),
    [(NAME, "list"), (None, "list"), (NAME[:-1], "rejected"), (NAME + "\n", "rejected"), (5, "rejected")],
    ids=["named", "null", "short", "longer", "a number"],
)
def test_the_chain_names_it_and_replays(proposal, kind):
    """An activation without one makes the bytes it always made."""
    control = {at: Line(at, b"", one) for at, one in enumerate([chunk("a\n"), activation("a\n", proposal=proposal)])}
    fold = Fold(POLICY, 0)
    lines = [line for one in control.values() for _, line in fold.control(one, rows=ListRows(control).of).entries]
    (entry,) = map(json.loads, lines)
    assert entry["kind"] == kind
    assert entry.get("proposal", "absent") == (NAME if proposal == NAME else "absent")
    replayer = Replayer(POLICY, 0, lambda _topic, offset: control[offset])
    assert [replayer.take(line) for line in lines] == [None]
    without = Fold(POLICY, 0).control(Line(1, b"", activation("a\n")), rows=ListRows(control).of).entries
    assert b"proposal" not in without[0][1]
