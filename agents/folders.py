"""Where things are kept for this user, by the XDG rules: data that matters, and caches that can be made again."""

from collections.abc import Mapping
from pathlib import Path


def data_folder(environ: Mapping[str, str]) -> Path:
    """The local broker's topics and the like."""
    return _folder(environ, "XDG_DATA_HOME", Path(".local", "share"))


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Downloads."""
    return _folder(environ, "XDG_CACHE_HOME", Path(".cache"))


def _folder(environ: Mapping[str, str], variable: str, below_home: Path) -> Path:
    base = environ.get(variable, "")
    # The XDG rules say to ignore a relative path.
    return (Path(base) if Path(base).is_absolute() else Path.home() / below_home) / "sidechain"
