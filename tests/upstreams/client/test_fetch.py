"""One request to outside: bounded, never redirected unasked, never encoded."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mantlet.core.refusal import BadUpstream, DeadlineExceeded, EgressDenied, UpstreamUnavailable
from mantlet.upstreams.client import Fetcher, TlsConfig
from mantlet.upstreams.client import fetch as module

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
async def fetch() -> AsyncIterator[Fetcher]:
    made = Fetcher(resolve=None, is_plain_allowed=True)
    yield made
    await made.close()


async def test_a_get_says_who_asks_and_takes_no_coding(serve: Any, fetch: Fetcher) -> None:
    raw = await serve(OK)
    fetched = await fetch("GET", f"http://127.0.0.1:{raw.port}/a?b=c", headers=[(b"accept", b"application/json")])
    assert (fetched.status, fetched.body, fetched.headers.get(b"content-type")) == (200, b"{}", b"application/json")
    request = raw.requests[0]
    assert request.line == b"GET /a?b=c HTTP/1.1"
    assert request.get(b"accept-encoding") == b"identity"
    assert request.get(
        b"user-agent",
    ).startswith(b"mantlet/")
    assert request.get(b"content-length") is None


async def test_a_post_carries_its_body_and_any_status_is_an_answer(serve: Any, fetch: Fetcher) -> None:
    raw = await serve(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad")
    fields = [(b"content-type", b"application/x-www-form-urlencoded")]
    fetched = await fetch("POST", f"http://127.0.0.1:{raw.port}/token", headers=fields, body=b"a=b")
    assert (fetched.status, fetched.body, raw.requests[0].body) == (400, b"bad", b"a=b")
    await fetch("POST", f"http://127.0.0.1:{raw.port}/token")
    assert raw.requests[1].get(b"content-length") == b"0"


async def test_connections_are_kept(serve: Any, fetch: Fetcher) -> None:
    raw = await serve(OK)
    for path in ("a", "b", "c"):
        await fetch("GET", f"http://127.0.0.1:{raw.port}/{path}")
    assert raw.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"content-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["long", "long and chunked", "encoded", "endless", "many headers", "no HTTP"],
)
async def test_an_answer_beyond_its_bounds_is_refused(serve: Any, fetch: Fetcher, answer: bytes) -> None:
    """EGR-04"""
    raw = await serve(answer)
    with pytest.raises(BadUpstream):
        await fetch("GET", f"http://127.0.0.1:{raw.port}/", max_bytes=10)


async def test_each_asker_has_a_bound_of_its_own(serve: Any, fetch: Fetcher) -> None:
    """EGR-04"""
    raw = await serve(OK)
    url = f"http://127.0.0.1:{raw.port}/"
    assert (await fetch("GET", url, max_bytes=2)).body == b"{}"
    with pytest.raises(BadUpstream):
        await fetch("GET", url, max_bytes=1)


async def test_silence_ends_with_the_deadline(serve: Any, fetch: Fetcher) -> None:
    async def silent(_: Any, __: Any) -> None:
        await asyncio.Event().wait()

    raw = await serve(silent)
    with pytest.raises(DeadlineExceeded):
        await fetch("GET", f"http://127.0.0.1:{raw.port}/", timeout_s=0.05)


async def test_nobody_there_is_unavailable(fetch: Fetcher, serve: Any) -> None:
    with pytest.raises(UpstreamUnavailable):
        await fetch("GET", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user:pw@example.com/",
        "https://exämple.com/",
        "https://127。0。0。1/",
        "https://example.com/a b",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:///x",
        "https://example.com:99999/",
        "",
    ],
)
async def test_what_is_no_plain_https_url_is_not_asked(url: str) -> None:
    """EGR-01, EGR-02"""
    with pytest.raises(EgressDenied):
        await Fetcher(resolve=None)("GET", url)


async def test_the_guard_decides_where_it_connects(serve: Any) -> None:
    """EGR-01"""

    async def guard(host: str, port: int) -> tuple[str, ...]:
        raise EgressDenied(why=f"not {host}")

    raw = await serve(OK)
    fetch = Fetcher(resolve=guard, is_plain_allowed=True)
    with pytest.raises(EgressDenied, match=r"not 127\.0\.0\.1"):
        await fetch("GET", raw.url)
    assert raw.connections == 0


def redirect(where: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % where


async def test_a_redirect_is_only_an_answer(serve: Any, fetch: Fetcher) -> None:
    """EGR-01: production follows none."""
    raw = await serve(redirect(b"/elsewhere"))
    assert (await fetch("GET", raw.url)).status == 302
    assert len(raw.requests) == 1


async def test_development_follows_within_the_origin_only(serve: Any) -> None:
    """EGR-01"""
    fetch = Fetcher(resolve=None, is_plain_allowed=True, follows_redirects=True)

    async def moved(request: Any, writer: asyncio.StreamWriter) -> None:
        target = request.line.split()[1]
        where = {b"/a": b"b", b"/b": b"/c?x=1", b"/away": b"http://169.254.169.254/", b"/loop": b"/loop"}
        writer.write(redirect(where[target]) if target in where else OK)

    raw = await serve(moved)
    here = f"http://127.0.0.1:{raw.port}"
    assert (await fetch("GET", f"{here}/a")).status == 200
    assert [one.line.split()[1] for one in raw.requests] == [b"/a", b"/b", b"/c?x=1"]
    with pytest.raises(EgressDenied):
        await fetch("GET", f"{here}/away")
    with pytest.raises(BadUpstream, match="redirects"):
        await fetch("GET", f"{here}/loop")
    assert (await fetch("POST", f"{here}/a", body=b"x")).status == 302
    await fetch.close()


async def test_the_number_of_origins_kept_is_bounded(
    serve: Any, fetch: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ORIGINS", 2)
    servers = [await serve(OK) for _ in range(3)]
    for raw in servers:
        await fetch("GET", raw.url)
    await fetch("GET", servers[2].url)
    await fetch("GET", servers[0].url)
    assert [raw.connections for raw in servers] == [2, 1, 1]


@pytest.mark.parametrize(
    ("method", "fields"), [("HEAD", []), ("GET", [(b"Host", b"x")]), ("GET", [(b"connection", b"x")])]
)
async def test_what_would_break_the_message_is_a_mistake(fetch: Fetcher, method: str, fields: Any) -> None:
    with pytest.raises(ValueError):
        await fetch(method, "http://127.0.0.1/", headers=fields)


def test_bad_tls_settings_are_found_at_once() -> None:
    with pytest.raises(ValueError, match="backup"):
        Fetcher(resolve=None, tls=TlsConfig(pins=["sha256/" + "A" * 43 + "="]))
    with pytest.raises(OSError):
        Fetcher(resolve=None, tls=TlsConfig(ca_file="/nowhere"))
