"""The sample data that comes with a pack: raw rows made into events, and events planted among them."""

import gzip
from importlib.resources import files
from typing import Final

import msgspec

from sidechain.models.policy import Policy
from sidechain.models.sources import BadRow, convert, rows

RAW: Final = {
    "web": "nasa_19950801.tsv.gz",
    "network": "kddcup99_every_20th.csv.gz",
    "payments": "payments_150_customers.csv.gz",
}
KNOWN_LATER_MS: Final = {"payments": 604_800_000}  # how long after an event its label becomes known
PLANTED: Final = {"web": "web_burst.ndjson"}


def raw_lines(pack: str) -> list[bytes]:
    """The raw rows of a pack's sample, without line ends. KeyError when the pack has none."""
    packed = (files("sidechain.models") / "packs" / "samples" / RAW[pack]).read_bytes()
    return gzip.decompress(packed).splitlines()


def events(policy: Policy) -> list[bytes]:
    """The sample's events, in the order of the rows. KeyError when the pack has no sample."""
    return [one for one in convert(policy, None, raw_lines(policy.name)) if not isinstance(one, BadRow)]


def outcomes(policy: Policy) -> list[bytes]:
    """What became known of each of the sample's events, in their order; empty where labels are not sent."""
    later_ms = KNOWN_LATER_MS.get(policy.name)
    if later_ms is None:
        return []
    id_field, key_field, time_field = (policy.event.role(one).name for one in ("id", "key", "time"))
    found = []
    for one in rows(policy, None, raw_lines(policy.name)):
        if not isinstance(one, BadRow):
            event = msgspec.json.decode(one.event)
            told = {"id": event[id_field], "key": event[key_field], "at": event[time_field] + later_ms}
            found.append(msgspec.json.encode({**told, "label": "good" if one.is_normal else "bad"}))
    return found


def planted(pack: str) -> list[bytes]:
    """Events that were made up to be found; empty when the pack has none."""
    if pack not in PLANTED:
        return []
    return (files("sidechain.models") / "packs" / "samples" / PLANTED[pack]).read_bytes().splitlines()


def in_time_order(policy: Policy, *groups: list[bytes]) -> list[bytes]:
    """Several groups of events as one stream; events of the same time keep their order."""
    field = policy.event.role("time").name
    at = msgspec.json.Decoder(msgspec.defstruct("At", [(field, int)])).decode
    return sorted((one for group in groups for one in group), key=lambda one: getattr(at(one), field))
