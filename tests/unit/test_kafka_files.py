"""Java and the jars: found, fetched, checked; what is missing is said with the way out."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sidechain.agents import kafka_files
from sidechain.agents.broker_probe import free_port
from sidechain.agents.kafka_files import Jar, cached, classpath, find_java, lock
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import EnvironmentProblem

HELLO = Jar("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "org.example", "hello", "1.0")
OTHER = Jar("0" * 64, "org.example", "other", "1.0")


def a_java(folder: Path, version: str) -> Path:
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("version", "number"), [("17.0.2", 17), ("25", 25), ("21-ea", 21)])
def test_a_java_of_17_or_later_is_taken(tmp_path, version, number):
    path = a_java(tmp_path, version)
    assert find_java(path) == (path, number)
    assert find_java(environ={"JAVA_HOME": str(tmp_path)}, bundled=False) == (path, number)
    assert find_java(environ={"PATH": str(path.parent)}, bundled=False) == (path, number)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392", "nonsense"])
def test_an_older_java_is_refused(tmp_path, version):
    path = a_java(tmp_path, version)
    for ask in ({"given": path}, {"environ": {"JAVA_HOME": str(tmp_path)}}, {"environ": {"PATH": str(path.parent)}}):
        with pytest.raises(EnvironmentProblem, match=r"is no Java 17 or later; .*pip install 'sidechain\[local\]'"):
            find_java(**ask, bundled=False)


def test_no_java_at_all_is_said_with_the_way_to_one():
    with pytest.raises(EnvironmentProblem, match=r"pip install 'sidechain\[local\]'.*JAVA_HOME"):
        find_java(environ={"PATH": ""}, bundled=False)


def test_the_bundled_java_needs_nothing_on_the_path():
    assert find_java(environ={"PATH": ""}).version >= kafka_files.OLDEST_JAVA


def test_the_lock_names_a_whole_broker():
    names = {jar.artifact for jar in lock()}
    assert {"kafka_2.13", "kafka-server", "kafka-clients", "slf4j-simple"} <= names
    assert all(len(jar.sha256) == 64 for jar in lock())
    assert len({jar.within(Path()).name for jar in lock()}) == len(lock()) == 46


@pytest.fixture
def small_lock(monkeypatch):
    def set_to(*jars: Jar) -> None:
        monkeypatch.setattr(kafka_files, "lock", lambda: jars)

    return set_to


@pytest.fixture
def mirror(tmp_path) -> Iterator[tuple[str, Path]]:
    """A Maven repository on this machine, and its folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", folder
        server.shutdown()
        thread.join(10)


def offer(folder: Path, jar: Jar, content: bytes) -> None:
    path = jar.within(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_jars_come_once_and_from_the_mirror(tmp_path, mirror, small_lock):
    url, folder = mirror
    small_lock(HELLO)
    offer(folder, HELLO, b"hello")
    cache = tmp_path / "cache"
    told: list[str] = []
    assert not cached(cache)
    assert classpath(cache, mirror=url, progress=told.append) == str(HELLO.within(cache))
    assert cached(cache)
    assert len(told) == 1
    HELLO.within(folder).unlink()  # a second time nobody is asked
    assert classpath(cache, mirror=url, progress=told.append) == str(HELLO.within(cache))
    assert len(told) == 1


def test_who_gave_up_does_not_wait_for_every_jar(tmp_path, mirror, small_lock):
    """It is asked whenever one has come; what has come is kept."""
    url, folder = mirror
    small_lock(HELLO)
    offer(folder, HELLO, b"hello")
    cache = tmp_path / "cache"
    with pytest.raises(EnvironmentProblem, match="was given up before all of its jars had come"):
        classpath(cache, mirror=url, is_wanted=lambda: False)
    assert HELLO.within(cache).read_bytes() == b"hello"


def test_a_broker_that_is_given_up_while_it_is_prepared_never_starts(tmp_path, monkeypatch):
    """Ctrl-C in a demo: whoever takes it down finds no process yet, and none may come afterwards."""
    kafka = LocalKafka(tmp_path, cache=tmp_path)
    monkeypatch.setattr(kafka_files, "classpath", lambda *_, **__: "")
    monkeypatch.setattr(kafka, "_format", lambda _command: kafka.stop())
    with pytest.raises(EnvironmentProblem, match="was given up before it had started"):
        kafka.start()
    assert kafka.status() is None


def test_a_jar_cut_short_is_fetched_again(tmp_path, mirror, small_lock):
    url, folder = mirror
    small_lock(HELLO)
    offer(folder, HELLO, b"hello")
    offer(tmp_path / "cache", HELLO, b"hel")
    classpath(tmp_path / "cache", mirror=url)
    assert HELLO.within(tmp_path / "cache").read_bytes() == b"hello"


def test_other_bytes_than_the_locks_are_refused_and_not_kept(tmp_path, mirror, small_lock):
    url, folder = mirror
    small_lock(HELLO)
    offer(folder, HELLO, b"hullo")
    with pytest.raises(EnvironmentProblem, match=r"hello-1\.0\.jar arrived with another SHA-256"):
        classpath(tmp_path / "cache", mirror=url)
    assert not HELLO.within(tmp_path / "cache").exists()


@pytest.mark.parametrize("answers", [True, False], ids=["it has none of them", "it does not answer"])
def test_a_repository_that_does_not_help_is_said_with_three_ways_out(tmp_path, mirror, small_lock, answers):
    small_lock(HELLO, OTHER)
    url = mirror[0] if answers else f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EnvironmentProblem, match=r"connect this machine once, .*SIDECHAIN_MIRROR .*SIDECHAIN_JARS"):
        classpath(tmp_path / "cache", mirror=url)


@pytest.mark.parametrize(
    ("names", "is_whole"),
    [
        ([], False),
        (["kafka_2.13-4.1.0.jar", "kafka-server-4.1.0.jar"], False),  # it would start, and never say why it ended
        (["kafka_2.13-4.1.0.jar", "slf4j-simple-1.7.36.jar"], False),
        (["kafka_2.13-4.1.0.jar", "kafka-server-4.1.0.jar", "slf4j-simple-1.7.36.jar"], True),
        (["kafka_2.13-4.0.0.jar", "kafka-server-4.0.0.jar", "log4j-slf4j-impl-2.24.3.jar"], True),
    ],
)
def test_a_folder_of_jars_must_hold_a_broker_and_its_voice(tmp_path, names, is_whole):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert cached(tmp_path / "cache", given=tmp_path) is is_whole
    if is_whole:
        assert classpath(tmp_path / "cache", given=tmp_path) == f"{tmp_path}/*"
    else:
        with pytest.raises(EnvironmentProblem, match="one SLF4J binding"):
            classpath(tmp_path / "cache", given=tmp_path)
