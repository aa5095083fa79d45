"""`sidechain config show`: every setting, its value and where it comes from."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, emit
from sidechain.agents.config import Loaded

# Whoever writes a password into an address should not find it on the screen.
_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+@")


def show(
    connection: Connection,
    json: Json = False,
) -> None:
    """Print every setting and where it comes from. Secrets are in files, so only the files' names are shown."""
    found = connection.loaded()
    rows = list(_rows(found))
    if json:
        emit({name: {"value": value, "origin": origin} for name, value, origin in rows}, json)
        return
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(48, max(len(_text(value)) for _, value, _ in rows))
    emit("\n".join(f"{name:{name_width}}  {_text(value):{value_width}}  {origin}" for name, value, origin in rows))


def _rows(found: Loaded) -> Iterator[tuple[str, Any, str]]:
    for name, value in msgspec.structs.asdict(found.config).items():
        if name == "topics":
            yield from ((f"topics.{one}", named, found.origins[f"topics.{one}"]) for one, named in value.items())
        else:
            shown = _CREDENTIALS.sub("***@", value) if isinstance(value, str) else value
            yield name, shown, found.origins[name]


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
