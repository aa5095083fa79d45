"""Events to measure with: a pack's sample, repeated under new ids and later times until there are enough."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sidechain.models import samples
from sidechain.models.policy import Policy

ROUND_GAP_MS: Final = 1_000


def numbered(policy: Policy, count: int, first: int = 0) -> Iterator[bytes]:
    """`count` events from the `first` on; the id of the n-th is `bench-<n>`, so a reader can tell which one it sees."""
    id_field, time_field = policy.event.role("id").name, policy.event.role("time").name
    base: list[dict[str, Any]] = [msgspec.json.decode(one) for one in samples.events(policy)]
    times = [one[time_field] for one in base]
    span = max(times) - min(times) + ROUND_GAP_MS
    encode = msgspec.json.Encoder().encode
    for number in range(first, first + count):
        turn, at = divmod(number, len(base))
        event = base[at]
        yield encode({**event, id_field: f"bench-{number}", time_field: times[at] + turn * span})
