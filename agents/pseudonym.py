"""Personal values under another name: always the same one, and without the secret no way back.

    p:<26 letters and digits>      "p:" + base32, lower case, of the first 16 bytes of
                                   HMAC-SHA256(secret, purpose + "|" + value)

The purpose is the name of the event field, so one value standing in two fields cannot be matched across them.
A pseudonym is still personal data for whoever holds the secret; a leaked secret makes short values guessable.
"""

import hmac
from base64 import b32encode
from hashlib import sha256
from pathlib import Path
from typing import Final

from sidechain.agents.problems import EnvironmentProblem

PREFIX: Final = "p:"
MIN_SECRET_BYTES: Final = 16
CACHED: Final = 65_536  # pseudonyms remembered; the cache is emptied when full


def read_secret(path: Path) -> bytes:
    """The secret in `path`, without surrounding white space. Raises EnvironmentProblem."""
    try:
        secret = path.read_bytes().strip()
    except OSError as fault:
        raise EnvironmentProblem(
            f"the pseudonym key file {path} cannot be read ({fault.strerror}); create it"
        ) from fault
    if len(secret) < MIN_SECRET_BYTES:
        raise EnvironmentProblem(
            f"the pseudonym key file {path} holds {len(secret)} bytes; at least {MIN_SECRET_BYTES} random bytes are "
            "needed, for example from `openssl rand -hex 32`"
        )
    return secret


def pseudonym(secret: bytes, purpose: str, value: str) -> str:
    """The pseudonym of `value`; `purpose` is the name of the event field it stands in."""
    mac = hmac.digest(secret, f"{purpose}|{value}".encode(), sha256)
    return PREFIX + b32encode(mac[:16]).decode("ascii").rstrip("=").lower()


class Pseudonyms:
    """`pseudonym` for one purpose, with a bounded cache: entities repeat, and an HMAC costs more than a look-up."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._secret = secret
        self._purpose = purpose
        self._known: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        """The pseudonym of `value`."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= CACHED:
                self._known.clear()
            known = self._known[value] = pseudonym(self._secret, self._purpose, value)
        return known
