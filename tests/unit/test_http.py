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


def test_a_body_is_sent_as_it_stands():
    heard = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        heard.append(await reader.readexactly(2))
        writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")
        writer.close()

    assert asked(answer, b"{}", headers={"Content-Type": "application/json"}) == (204, b"")
    assert heard[0].startswith(b"POST /metrics?a=b HTTP/1.0\r\nHost: 127.0.0.1:")
    assert b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" in heard[0]
    assert heard[1] == b"{}"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (says(ends=False), "did not answer within 0 s"),
        (says(b"HTTP/1.0 200 OK\r\n\r\n", b"half", ends=False), "did not answer within 0 s"),
        (says(b"SSH-2.0\r\n"), "127.0.0.1:"),
        (says(b""), "127.0.0.1:"),
        (says(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 101), "more than 100 bytes"),
        (says(b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000), "127.0.0.1:"),  # a header without an end
    ],
    ids=["mute", "half an answer", "another protocol", "hangs up", "too much", "an endless line"],
)
def test_whoever_does_not_answer_is_given_up(answers, why):
    with pytest.raises(NoAnswer, match=why):
        asked(answers, within_s=0.2, most_bytes=100)


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
