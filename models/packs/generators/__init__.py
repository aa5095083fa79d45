"""Made-up events of a pack, with the truth about each: the same seed gives the same bytes on any machine.

A generator is the pack's business, so its words stay here; whoever asks for one names the pack and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from sidechain.models.packs.generators.payments import Payments

Item = tuple[int, ...]  # event time in ms, kind, and what only the generator reads


class Generator(Protocol):
    """A world that goes on for ever, in slices that fit into memory. Its lines have no line end."""

    kinds: Sequence[str]  # what an item's kind counts; 0 is "nothing wrong"

    def slices(self) -> Iterator[Sequence[Item]]:
        """The next items, in order of event time."""
        ...

    def event(self, one: Item) -> bytes:
        """The event, as the pack reads it."""
        ...

    def outcome(self, one: Item) -> bytes:
        """What becomes known of it later, as the outcomes topic takes it."""
        ...

    def truth(self, one: Item) -> bytes:
        """The event's id and kind, `{"id":"1-0","kind":2}`: for tests, which may know more than an outcome tells."""
        ...


# By pack: (seed, keys of the world or None for the usual size, event time in ms at which it begins).
GENERATORS: Final[dict[str, Callable[[int, int | None, int | None], Generator]]] = {"payments": Payments}
