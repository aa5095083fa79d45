"""One HTTP request with an end: so many seconds and so many bytes, no redirect, no connection left open.

HTTP/1.0 is spoken on purpose. The answer then ends where the connection does, and no server answers it in chunks.
"""

import asyncio
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidechain.agents.problems import UsageProblem

WITHIN_S: Final = 5.0  # for all of it, from the look-up of the name to the last byte
MOST_BYTES: Final = 4 * 1024 * 1024
PORTS: Final = {"http": 80, "https": 443}


class NoAnswer(OSError):  # noqa: N818 - named for what it is
    """The other side did not answer, not in time, or not in HTTP."""


class Address(NamedTuple):
    """Where to ask."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def place(self) -> str:
        """host:port, as it stands in a label."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether nobody between here and there can read along: encrypted, or this machine."""
        if self.scheme == "https" or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def address(text: str, setting: str) -> Address:
    """Read a URL. Raises UsageProblem, which names the setting and not the text: it may hold a secret."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as fault:
        raise UsageProblem(f"{setting}: {fault}") from None
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if parts.scheme not in PORTS or not parts.hostname or parts.username or parts.password is not None:
        raise UsageProblem(f"{setting}: a URL like http://host:port/path is expected, without user and password")
    if not (path.isascii() and path.isprintable() and " " not in path and parts.hostname.isascii()):
        raise UsageProblem(f"{setting}: a URL has no spaces and no characters beyond ASCII; write them as %20")
    return Address(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path)


async def ask(
    where: Address,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    within_s: float = WITHIN_S,
    most_bytes: int = MOST_BYTES,
) -> tuple[int, bytes]:
    """GET, or POST where there is a body: (status, the answer's body). Raises NoAnswer."""
    try:
        async with asyncio.timeout(within_s):
            return await _asked(where, body, headers or {}, most_bytes)
    except TimeoutError:
        raise NoAnswer(f"{where.place} did not answer within {within_s:.0f} s") from None
    except (OSError, EOFError, ValueError, IndexError) as fault:
        raise NoAnswer(f"{where.place}: {getattr(fault, 'strerror', None) or fault or type(fault).__name__}") from fault


async def _asked(where: Address, body: bytes | None, headers: Mapping[str, str], most: int) -> tuple[int, bytes]:
    secured = ssl.create_default_context() if where.scheme == "https" else None
    reader, writer = await asyncio.open_connection(where.host, where.port, ssl=secured, limit=65_536)
    try:
        lines = [f"{'GET' if body is None else 'POST'} {where.path} HTTP/1.0", f"Host: {where.place}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + (body or b""))
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        answer = bytearray()
        while piece := await reader.read(65_536):
            answer += piece
            if len(answer) > most:
                raise ValueError(f"it answers with more than {most:,} bytes")
        return status, bytes(answer)
    finally:
        writer.transport.abort()
