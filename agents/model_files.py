"""Models and their cards in a folder, each named by what is in it, none believed but by its digest.

    champion-3-ab12cd34.onnx     the model
    champion-3-ab12cd34.json     its card

Written whole or not at all; what is there is never changed. Nothing in here is code: reading one runs none.
"""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.models.wet import card as cards
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.card import Card
from sidechain.models.wet.onnx_file import BYTES_MOST, file_name


class BadModelFile(EnvironmentProblem):
    """A model or a card that is not there, or not what its digest says, in a sentence."""


class ModelFiles:
    """The folder. It is made when something is first written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, model: Boosted, card: Card) -> tuple[Path, str]:
        """Keep a model with its card; returns the model's path and the card's digest. Raises EnvironmentProblem."""
        path, content = self.folder / model.file_name, cards.encode(card)
        write_whole(path, model.to_bytes())
        write_whole(path.with_suffix(".json"), content)
        return path, sha256(content).hexdigest()

    def model(self, version: int, digest: str) -> Boosted:
        """The model with this digest. Raises `BadModelFile`."""
        path = self.folder / file_name(version, digest)
        try:
            return Boosted.from_bytes(_read(path, digest, BYTES_MOST))
        except ValueError as fault:
            raise BadModelFile(f"{path} is not used: {fault}") from None

    def card(self, version: int, model: str, digest: str) -> Card:
        """The card with this digest of a model with that one. Raises `BadModelFile`."""
        path = (self.folder / file_name(version, model)).with_suffix(".json")
        try:
            return cards.decode(_read(path, digest, cards.BYTES_MOST))
        except ValueError as fault:
            raise BadModelFile(f"{path} is not used: {fault}") from None

    def versions(self) -> Iterator[int]:
        """Those of every model here, in no meaningful order."""
        if self.folder.is_dir():
            for one in self.folder.glob("champion-*-*.onnx"):
                number = one.name.split("-")[1]
                if number.isdigit():
                    yield int(number)


def kept(path: Path) -> tuple[Boosted, Card, str]:
    """The model in a file somebody names, its card beside it, and the card's digest.

    Whether the model is whole, and the card's own, its digest in the card tells. Raises `UsageProblem`.
    """
    beside = path.with_suffix(".json")
    try:
        content = _content(beside, cards.BYTES_MOST)
        card = cards.decode(content)
        model = Boosted.from_bytes(_read(path.with_suffix(".onnx"), card.digest, BYTES_MOST))
    except (BadModelFile, ValueError) as fault:
        raise UsageProblem(f"{path} is no model with its card beside it: {fault}") from None
    return model, card, sha256(content).hexdigest()


def _read(path: Path, digest: str, most: int) -> bytes:
    content = _content(path, most)
    if (found := sha256(content).hexdigest()) != digest:
        raise BadModelFile(
            f"{path} is not used: its SHA-256 begins {found[:16]}, and {digest[:16]} was agreed to; it was changed"
        )
    return content


def _content(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise BadModelFile(f"{path} is not used: it has {path.stat().st_size:,} bytes, and {most:,} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise BadModelFile(
            f"{path} is not there; copy it from the trainer's folder, or let both name one folder (SIDECHAIN_MODELS)"
        ) from None
    except OSError as fault:
        raise BadModelFile(f"{path} cannot be read: {fault.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """A file that is there in full or not at all, readable by its owner alone. Raises EnvironmentProblem."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as fault:
        raise EnvironmentProblem(f"{path} cannot be written: {fault.strerror}") from None
