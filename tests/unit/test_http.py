"""A request has an end, whatever is at the other side; what is scraped are our own series."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sidechain.agents.metrics import TapMetrics, registry, serve
from sidechain.agents.problems import UsageProblem
from sidechain.agents.wet.http import Address, NoAnswer, address, ask
from sidechain.agents.wet.scrape import TARGETS, scraped, targets
from sidechain.models.wet.readings import role_of, total
from tests.silence import run

Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def asked(answers: Answers, body: bytes | None = None, **more: Any) -> tuple[int, bytes]:
    """One request to a server that answers so."""

    async def story() -> tuple[int, bytes]:
        async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
            where = Address("http", "127.0.0.1", server.sockets[0].getsockname()[1], "/metrics?a=b")
            return await ask(where, body, **more)

    return run(story)  # type: ignore[no-any-return]


def says(*pieces: bytes, ends: bool = True) -> Answers:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends:
            writer.close()
        else:
            await asyncio.sleep(60)

    return answer


def test_an_answer_is_read_to_its_end():
    assert asked(says(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n", b"one ", b"two")) == (200, b"one two")
    assert asked(says(b"HTTP/1.1 503 Not now\r\n\r\n")) == (503, b"")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
    assert asked(says(chunked, ends=False)) == (200, b"one")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\n\r\n",  # who follows comes back for ever
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",  # what is packed stays so
    ],
    ids=["elsewhere", "packed"],
)
def test_nothing_is_followed_and_nothing_unpacked(answer):
    status, body = asked(says(answer))
    assert (status, body) in {(302, b""), (200, b"\x1f\x8b")}


def test_a_body_is_sent_as_it_stands():
    heard = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        heard.append(await reader.readexactly(2))
        writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")
        writer.close()

    assert asked(answer, b"{}", headers={"Content-Type": "application/json"}) == (204, b"")
    first, *headers = heard[0].decode().split("\r\n")
    assert first == "POST /metrics?a=b HTTP/1.1"
    assert {"Content-Type: application/json", "Content-Length: 2", "User-Agent: sidechain"} <= set(headers)
    assert heard[1] == b"{}"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (says(ends=False), "did not answer within 0 s"),
        (says(b"HTTP/1.0 200 OK\r\n\r\n", b"half", ends=False), "did not answer within 0 s"),
        (says(b"SSH-2.0\r\n"), "does not answer in HTTP"),
        (says(b""), "127.0.0.1:"),
        (says(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 101), "more than 100 bytes"),
        (says(b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000), "does not answer in HTTP"),  # a header without an end
    ],
    ids=["mute", "half an answer", "another protocol", "hangs up", "too much", "an endless line"],
)
def test_whoever_does_not_answer_is_given_up(answers, why):
    with pytest.raises(NoAnswer, match=why) as given_up:
        asked(answers, within_s=0.2, most_bytes=100)
    assert "metrics" not in str(given_up.value), "a path may be a secret"


@pytest.mark.parametrize(
    "text",
    ["ftp://a/b", "http://", "http://user:secret@host/", "http://a:port/", "http://a/b c", "http://a/\r\nX: y", "a:b"],
)
def test_what_is_no_address_is_refused_without_being_quoted(text):
    with pytest.raises(UsageProblem) as refused:
        address(text, "webhook_url")
    assert str(refused.value).startswith("webhook_url: ")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "is_private"),
    [
        ("https://alerts.example/x", True),
        ("http://127.0.0.1:9093/", True),
        ("http://localhost/", True),
        ("http://[::1]:80/", True),
        ("http://alerts.example/x", False),
        ("http://10.0.0.7/x", False),
    ],
)
def test_who_may_read_along_is_told_from_the_address(text, is_private):
    assert address(text, "x").is_private == is_private


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("9464", ["127.0.0.1:9464"]),
        (" 9464, dry:9465 ,", ["127.0.0.1:9464", "dry:9465"]),
        ("http://[::1]:9464/metrics", ["[::1]:9464"]),
    ],
)
def test_targets_are_ports_places_or_urls(text, places):
    assert [one.place for one in targets(text)] == places
    assert all(one.path == "/metrics" for one in targets(text))


@pytest.mark.parametrize("text", ["", " , ", ",".join(["9464"] * (TARGETS + 1))])
def test_no_target_and_too_many_are_refused(text):
    with pytest.raises(UsageProblem, match="metrics_targets"):
        targets(text)


def test_a_worker_is_read_and_one_that_is_gone_is_told():
    registered = registry()
    TapMetrics(registered).taps["sent"].inc(5)
    port = serve(registered, "127.0.0.1", 0)
    found = run(lambda: scraped(targets(f"{port},1")))
    assert found["127.0.0.1:1"].samples is None
    shown = found[f"127.0.0.1:{port}"].samples
    assert role_of(shown) == "tap"
    assert total(shown, "sidechain_taps_total", result="sent") == 5
    assert all(name.startswith("sidechain_") for name in shown)
