"""A decision asked again: each rule's limits beside what was measured, and what would have been decided otherwise.

    {"unsaid":null,
     "nearest":[{"name":"features.seen","value":1,"needed":2,"action":"review"}],
     "rules":[{"id":"many","fired":false,
               "limits":[{"text":"features.seen >= 2","measured":{"features.seen":1},"holds":false}]}]}

`explain` says it in sentences, and `explain --json` as it stands here.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from sidechain.models.limits import Limit, limits
from sidechain.models.nearest import Nearest, Question
from sidechain.models.policy import Policy


class AskedRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the policy."""

    id: str
    fired: bool | None  # None: it was not asked, a rule that allows had fired
    limits: tuple[Limit, ...] = ()


class Otherwise(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel answers about one decision when it is asked again."""

    unsaid: str | None = None  # why nothing can be said
    nearest: tuple[Nearest, ...] = ()  # the smallest change first; none: no other value of one name alone
    rules: tuple[AskedRule, ...] = ()  # in the policy's order


def otherwise(
    entry: Mapping[str, Any],
    policy: Policy | None,
    event: bytes | None,
    lists: Mapping[str, Collection[Any]] | None = None,
) -> Otherwise:
    """Ask the kernel about a decision again.

    `policy`: the one the entry names; `event`: the input's bytes; `lists`: the rows of the lists it cites, by name.
    Where one of them is missing or is another's, nothing is guessed.
    """
    if policy is None:
        return Otherwise(unsaid="not without the policy, which is not here")
    if event is None:
        return Otherwise(unsaid="not without the event, which is not here")
    if missing := [name for name, ref in entry.get("lists", {}).items() if ref and name not in (lists or {})]:
        return Otherwise(unsaid=f"not without the rows of its lists, which are not here ({', '.join(missing)})")
    try:
        question = Question(entry, policy, event, lists)
    except ValueError as fault:
        return Otherwise(unsaid=f"not known, because {fault}")
    return Otherwise(nearest=tuple(question.nearest()), rules=tuple(_rules(entry, policy, question.values())))


def _rules(entry: Mapping[str, Any], policy: Policy, values: Mapping[str, Any]) -> Iterator[AskedRule]:
    fired, is_over = {one[1] for one in entry["reasons"] if one[0] == "rule"}, False
    for rule in policy.rules:
        if is_over:
            yield AskedRule(id=rule.id, fired=None)
        else:
            yield AskedRule(id=rule.id, fired=rule.id in fired, limits=tuple(limits(rule.when, values)))
        is_over = is_over or (rule.then == "allow" and rule.id in fired)
