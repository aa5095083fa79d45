"""The policies a chain may be under: the one given to the worker, those its state holds the text of, and those people
activated through `control`."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition

from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, read_spans, reader
from sidechain.agents.lane.problems import Refused
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.policy import Policy

Read = Callable[[bytes], Policy]
START_WITH: Final = (
    "Start with the file it began under; to change policies, activate the new one instead of editing the file."
)


class Policies:
    """Loaded policies by their text; loading takes long enough to be done once a worker, not once a partition."""

    def __init__(self, given: Policy, read: Read, options: Mapping[str, Any], control: str) -> None:
        """`given`: the one chains begin under. `read`: a policy's text -> the policy; raises ValueError."""
        self.given = given
        self._read = read
        self._options = options
        self._control = TopicPartition(control, 0)
        self._by_digest: dict[str, Policy] = {given.digest: given}
        self._activations: set[str] = set()  # digests of the policies `control` brings, as far as it was read

    def load(self, text: bytes) -> Policy:
        """The policy a control record brings. Raises ValueError."""
        digest = sha256(text).hexdigest()
        policy = self._by_digest.get(digest)
        if policy is None:
            policy = self._by_digest[digest] = self._read(text)
        return policy

    async def by_ref(self, ref: str, ends: Ends, state: Mapping[bytes, bytes] | None = None) -> Policy:
        """The policy a chain ended under, `web@3:7b1e0c92d4aa`; its `state` holds the texts it was ever under.

        Raises Refused when nobody has its text, and when the policy given is one the chain has never heard of: somebody
        edited a file and believes that it decides.
        """
        state = state or {}
        if (policy := self._loaded(ref)) is None:
            policy = self._in_state(ref, state)
        if policy is None or not self._is_known(policy, state):
            async for text in self._activated(ends):
                with contextlib.suppress(ValueError):
                    self._activations.add(self.load(text).digest)
            policy = policy or self._loaded(ref)
        if policy is None:
            raise Refused(
                f"the chain was last decided under {ref}, and neither its state nor the policy given "
                f"({self.given.ref}) nor {self._control.topic} holds that text. {START_WITH} If nobody has the "
                "text any more, `sidechain repair --epoch` begins anew under the policy given",
                "epoch",
            )
        if not self._is_known(policy, state):
            raise Refused(
                f"the chain is decided under {ref}, and {self.given.ref} was given, which it never was under. "
                f"{START_WITH}"
            )
        return policy

    def _loaded(self, ref: str) -> Policy | None:
        return next((one for one in self._by_digest.values() if one.ref == ref), None)

    def _is_known(self, in_force: Policy, state: Mapping[bytes, bytes]) -> bool:
        """Whether the chain has heard of the policy given: it is in force, was once, or was activated."""
        digest = self.given.digest
        return digest == in_force.digest or digest in self._activations or POLICY_PREFIX + digest.encode() in state

    def _in_state(self, ref: str, state: Mapping[bytes, bytes]) -> Policy | None:
        digits = ref.rpartition(":")[2]
        for name in list(state):
            if name.startswith(POLICY_PREFIX + digits.encode()):
                try:
                    policy = self.load(state[name])
                except ValueError:  # of another release, or altered: what else holds the text is asked
                    continue
                if policy.ref == ref:
                    return policy
        return None

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
