"""A folder that is there in full or not at all, and the removal of what a killed command left behind."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from sidechain.agents.problems import EnvironmentProblem, UsageProblem

SUFFIX: Final = ".sidechain-partial"
YOUNG_S: Final = 60.0  # a folder may be this old before whoever made it has locked it


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write to that becomes `target` in one step at the end, or leaves nothing behind.

    It is readable by its owner alone: entries and events name people. It is locked while it is written; whoever is
    killed loses the lock, so `swept` knows what nobody will finish.
    """
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageProblem(f"{target} is there already, and nothing is overwritten; name a folder that is not")
        partial = Path(mkdtemp(prefix=f".{target.name}.", suffix=SUFFIX, dir=target.parent))
    except OSError as error:
        raise UsageProblem(f"{target} cannot be written: {error.strerror}") from None
    try:
        with _locked(partial):
            yield partial
            with no_room(target):
                _sync(partial)
                partial.rename(target)
                _sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def swept(parent: Path) -> list[Path]:
    """Remove what `whole_folder` left in this folder when it was killed; which those were.

    Only folders of its own making and of this user, that nobody is writing; what cannot be removed stays unsaid.
    """
    gone = []
    for one in sorted(parent.glob(f".*{SUFFIX}")):
        with contextlib.suppress(OSError):
            found = one.lstat()
            if not one.is_dir() or one.is_symlink() or found.st_uid != os.getuid():
                continue
            if time.time() - found.st_mtime < YOUNG_S:
                continue
            with _locked(one) as is_ours:
                if is_ours:
                    shutil.rmtree(one)
                    gone.append(one)
    return gone


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether it is ours alone; never, on a filesystem that has no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def no_room(path: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence. Raises `EnvironmentProblem`."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(f"{path.name} could not be written, so nothing was: {error.strerror}") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
