"""The policies a chain may be under: the one given to the worker, and those people activated through `control`."""

from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from aiokafka import TopicPartition

from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, read_spans, reader
from sidechain.agents.lane.problems import Refused
from sidechain.models.policy import Policy

Read = Callable[[bytes], Policy]


class Policies:
    """Loaded policies by their text; loading takes long enough to be done once a worker, not once a partition."""

    def __init__(self, given: Policy, read: Read, options: Mapping[str, Any], control: str) -> None:
        """`given`: the one chains begin under. `read`: a policy's text -> the policy; raises ValueError."""
        self.given = given
        self._read = read
        self._options = options
        self._control = TopicPartition(control, 0)
        self._by_digest: dict[str, Policy] = {given.digest: given}

    def load(self, text: bytes) -> Policy:
        """The policy a control record brings. Raises ValueError."""
        digest = sha256(text).hexdigest()
        policy = self._by_digest.get(digest)
        if policy is None:
            policy = self._by_digest[digest] = self._read(text)
        return policy

    async def by_ref(self, ref: str, ends: Ends) -> Policy:
        """The policy a chain ended under, `web@3:7b1e0c92d4aa`. Raises Refused when nobody has its text."""
        for policy in self._by_digest.values():
            if policy.ref == ref:
                return policy
        async for text in self._activated(ends):
            try:
                if self.load(text).ref == ref:
                    return self.load(text)
            except ValueError:
                continue
        raise Refused(
            f"the chain was last decided under {ref}, and neither the policy given ({self.given.ref}) nor "
            f"{self._control.topic} holds that text. Start with the file it began under; to change policies, activate "
            "the new one instead of editing the file. If nobody has the text any more, `sidechain repair --epoch` "
            "begins anew under the policy given",
            "epoch",
        )

    async def _activated(self, ends: Ends) -> AsyncIterator[bytes]:
        consumer = reader(self._options, max_partition_fetch_bytes=FETCH_BYTES)
        await consumer.start()
        try:
            async for _, records in read_spans(consumer, await ends.spans([self._control])):
                for record in records:
                    try:
                        yield msgspec.json.decode(record.value or b"", type=_Activated).text.encode()
                    except (msgspec.DecodeError, UnicodeError):
                        continue
        finally:
            await consumer.stop()


class _Activated(msgspec.Struct):
    text: str
