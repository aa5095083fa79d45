"""One HTTP request with an end: so many seconds and so many bytes, no redirect, no connection left open.

aiohttp speaks it. What an answer may cost us is ours to say: nothing is unpacked, because a few packed bytes may be
many, no cookie is kept, and no fault quotes the address beyond host and port, because a path may be a secret.
"""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from sidechain.agents.problems import UsageProblem

WITHIN_S: Final = 5.0  # for all of it, from the look-up of the name to the last byte
MOST_BYTES: Final = 4 * 1024 * 1024
PORTS: Final = {"http": 80, "https": 443}
OURS: Final = {"User-Agent": "sidechain", "Accept-Encoding": "identity"}


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
    def url(self) -> str:
        """All of it. It may be a secret."""
        return f"{self.scheme}://{self.place}{self.path}"

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
            return await _asked(where, body, {**OURS, **(headers or {})}, most_bytes)
    except TimeoutError:
        raise NoAnswer(f"{where.place} did not answer within {within_s:.0f} s") from None
    except aiohttp.ClientResponseError:
        raise NoAnswer(f"{where.place} does not answer in HTTP") from None
    except (OSError, aiohttp.ClientError, ValueError) as fault:
        raise NoAnswer(f"{where.place}: {getattr(fault, 'strerror', None) or fault or type(fault).__name__}") from fault


async def _asked(where: Address, body: bytes | None, headers: Mapping[str, str], most: int) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),  # the one around this counts
        ) as session,
        session.request(
            "GET" if body is None else "POST", where.url, data=body, headers=headers, allow_redirects=False
        ) as answer,
    ):
        read = bytearray()
        async for piece in answer.content.iter_any():
            read += piece
            if len(read) > most:
                raise ValueError(f"it answers with more than {most:,} bytes")
        return answer.status, bytes(read)
