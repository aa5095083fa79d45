"""What a record of `control` asks for: another policy, or another version of a list."""

from typing import Annotated

import msgspec

from sidechain.models.dry.lists import Activation
from sidechain.models.dry.parse import ambiguous


class Control(msgspec.Struct, frozen=True):
    """The part of a policy's control record the kernel reads."""

    kind: str
    name: str
    version: int
    digest: str
    by: str
    at: int
    text: str
    proposal: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None  # the id of the one it follows


class _Kind(msgspec.Struct):
    kind: str


def read_control(value: bytes) -> Control | Activation:
    """What a control record asks for. Raises ValueError."""
    if ambiguous(value) is not None:
        raise ValueError("not strict JSON")
    if msgspec.json.decode(value, type=_Kind).kind == "list":
        return msgspec.json.decode(value, type=Activation)
    return msgspec.json.decode(value, type=Control)
