"""Where the next entry of a chain stands, and the fields that every entry therefore begins with."""

from typing import Any, NamedTuple

from sidechain.models.dry.entry import VERSION, Next

Source = tuple[str, int, int]  # logical topic, partition, offset
# From `v` to `policy`, in the order of `entry.py`. Which of them may be null differs from kind to kind.
Opening = tuple[int, int, str, str, Any, Any, Any, Any, Any, Next, str]


class Place(NamedTuple):
    """Where the next entry of a chain stands."""

    seq: int
    prev: str
    partition: int
    next: Next  # with the record in it that the entry is of
    policy: str

    def opening(
        self,
        kind: str,
        source: Source | None = None,
        digest: str | None = None,
        *,
        identifier: str | None = None,
        key: str | None = None,
        at_ms: int | None = None,
    ) -> Opening:
        """The fields an entry of this kind begins with; `source` and `digest` are those of its input."""
        return VERSION, self.seq, self.prev, kind, identifier, key, at_ms, source, digest, self.next, self.policy
