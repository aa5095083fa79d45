"""The catalogue of topics, typed. `catalog.yaml` is the authority; this file only reads it."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

FOREVER: Final = -1
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES: Final = {"KiB": 1_024, "MiB": 1_048_576}
_LOG_OVERHEAD: Final = 12  # Kafka counts a batch with its offset and length; its own default is 1 MiB + 12


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic of the catalogue.

    {"name":"events","says":"what happened","key":"entity","partitions":"P","cleanup":"delete","retention":"7d",
     "max_message":"1 MiB","writers":["users"],"readers":["decider"]}
    """

    name: str = ""  # the logical name; the map's key in the file
    says: str
    key: str
    partitions: Literal["P", 1]
    cleanup: Literal["delete", "compact"]
    retention: Annotated[str, Meta(pattern=r"^(\d+[smhd]|forever)$")] = "forever"
    max_message: Annotated[str, Meta(pattern=r"^\d+ [KM]iB$")]
    settings: dict[str, str] = {}
    writers: tuple[str, ...]
    readers: tuple[str, ...]

    def count(self, partitions: int) -> int:
        """How many partitions it has where the installation has `partitions`."""
        return partitions if self.partitions == "P" else 1

    @property
    def co_partitioned(self) -> bool:
        """Whether a record's partition is that of the event it is about."""
        return self.partitions == "P"

    @property
    def max_message_bytes(self) -> int:
        """The largest record batch, in bytes, as `max.message.bytes` counts it."""
        number, unit = self.max_message.split()
        return int(number) * _UNITS_BYTES[unit] + _LOG_OVERHEAD

    @property
    def retention_ms(self) -> int:
        """How long a record is kept; FOREVER for ever."""
        if self.retention == "forever":
            return FOREVER
        found = re.fullmatch(r"(\d+)([smhd])", self.retention)
        assert found is not None
        return int(found[1]) * _UNITS_MS[found[2]]

    def config(self) -> dict[str, str]:
        """Kafka's settings for this topic."""
        kept = {"retention.ms": str(self.retention_ms)} if self.cleanup == "delete" else {}
        return {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
            **kept,
            "max.message.bytes": str(self.max_message_bytes),
            **self.settings,
        }


@cache
def catalog() -> Mapping[str, Topic]:
    """Every topic by its logical name, in the order of the file."""
    text = files("sidechain.topics").joinpath("catalog.yaml").read_bytes()
    read = msgspec.yaml.decode(text, type=dict[str, Topic])
    return MappingProxyType({name: msgspec.structs.replace(topic, name=name) for name, topic in read.items()})
