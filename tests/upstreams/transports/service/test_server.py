"""The transport against servers that answer as they should not, and what it writes byte for byte."""

import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import pytest
from tests.policies.support import ALICE, arrival

from mantlet.core.call import Call
from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, Malformed, Refusal, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.core.tasks import Tasks
from mantlet.policies.services.policy import Services
from mantlet.policies.services.route import Route, Routes
from mantlet.upstreams.transports.service import ServiceConfig, ServiceServer
from mantlet.wire.http1 import path_of
from mantlet.wire.jsonrpc import Bounds

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Make = Callable[..., ServiceServer]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    tasks, made = Tasks(lambda error: None), []

    def service(port: int, identity: Any = None, **more: Any) -> ServiceServer:
        config = ServiceConfig(name="x", url=f"http://127.0.0.1:{port}/base", **more)
        made.append(ServiceServer(config, tasks, is_plain_allowed=True, identity=identity))
        return made[-1]

    yield service
    for one in made:
        await one.close()
    await tasks.close()


def call(verb: str = "GET", target: str = "/a", body: bytes = b"", **more: Any) -> Call:
    item = arrival(verb=verb, path=f"/api/x{target}", fields=more.pop("fields", ()))
    item.query = more.pop("query", b"")
    return Call(
        arrival=item, caller=ALICE, kind="request", era="modern", server="x", method=verb, target=target, params={},
        body=body, id=None, deadline_s=SYSTEM.monotonic() + 5,
    )  # fmt: skip


async def test_a_request_is_written_so(serve: Any, make: Make) -> None:
    raw = await serve(OK)
    service = make(raw.port, headers={"X-Key": Secret("own")})
    fields = [(b"content-type", b"application/json"), (b"accept", b"*/*"), (b"x-key", b"theirs"), (b"cookie", b"c")]
    assert (await service.send(call("POST", "/a b", b"{}", fields=fields, query=b"q=1"))).body == b"ok"
    (request,) = raw.requests
    assert (request.line, request.body) == (b"POST /base/a%20b?q=1 HTTP/1.1", b"{}")
    assert [name for name, _ in request.headers] == [
        b"host", b"user-agent", b"accept-encoding", b"x-key", b"accept", b"x-request-id", b"content-type",
        b"content-length",
    ]  # fmt: skip
    assert (request.get(b"x-key"), request.get(b"x-request-id")) == (b"own", b"r1")


@pytest.mark.parametrize(
    ("verb", "length"),
    [("GET", None), ("HEAD", None), ("DELETE", None), ("POST", b"0"), ("PUT", b"0"), ("PATCH", b"0")],
)
async def test_what_has_no_body_says_so(serve: Any, make: Make, verb: str, length: bytes | None) -> None:
    """RFC 9110 section 8.6"""
    raw = await serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    await make(raw.port).send(call(verb))
    (request,) = raw.requests
    assert (request.get(b"content-length"), request.get(b"transfer-encoding")) == (length, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-type: c/d\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 600 Odd\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\ncontent-length: 2\r\n\r\nok",
        b"hello\r\n\r\n",
    ],
    ids=range(15),
)
async def test_what_may_not_be_passed_on_is_a_bad_answer(serve: Any, make: Make, answer: bytes) -> None:
    """EGR-04, FWD-05, HTTP-04"""
    raw = await serve(answer)
    service = make(raw.port)
    with pytest.raises(BadUpstream):
        await service.send(call())
    health = await service.health()
    assert health["connections"]["idle"] <= 1


class Renewed:
    """A token, and another one as often as it is asked for one."""

    def __init__(self, *tokens: bytes) -> None:
        self.tokens = list(tokens)

    async def __call__(self, *_: Any) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer " + self.tokens[0])]

    async def renewed(self, _caller: Any, _headers: Any, refused: Any) -> list[tuple[bytes, bytes]] | None:
        assert list(refused) == await self()
        del self.tokens[0]
        return await self() if self.tokens else None


class Upload:
    """A body that can be passed on once."""

    length = 3
    parts = (b"abc", b"")

    def __init__(self) -> None:
        self._left = list(self.parts)

    async def part(self) -> bytes:
        return self._left.pop(0)

    def admit(self, max_bytes: int) -> None:
        """Any size."""


async def only_b(request: Any, writer: Any) -> None:
    writer.write(OK if request.get(b"authorization") == b"Bearer b" else NO)


NO = b"HTTP/1.1 401 No\r\nwww-authenticate: Bearer\r\ncontent-length: 2\r\n\r\nno"


async def test_a_token_that_the_service_refuses_is_got_anew_once(serve: Any, make: Make) -> None:
    """FWD-04, FWD-05: what was refused was not done; a second refusal is not the caller's affair."""
    raw = await serve(only_b)
    service = make(raw.port, identity=Renewed(b"a", b"b"))
    assert (await service.send(call("POST", body=b"{}"))).body == b"ok"
    assert [(one.get(b"authorization"), one.body) for one in raw.requests] == [
        (b"Bearer a", b"{}"),
        (b"Bearer b", b"{}"),
    ]
    for tokens in ((b"c", b"d", b"e"), (b"c",)):
        before = len(raw.requests)
        with pytest.raises(BadUpstream):
            await make(raw.port, identity=Renewed(*tokens)).send(call())
        assert len(raw.requests) - before == min(len(tokens), 2)


async def test_a_body_that_is_gone_is_not_sent_again(serve: Any, make: Make) -> None:
    """FWD-05: nothing of it was kept; its caller tries again, and finds the new token."""
    raw = await serve(only_b)
    identity = Renewed(b"a", b"b")
    service = make(raw.port, identity=identity)
    upload = call("POST")
    upload.arrival.incoming = Upload()
    with pytest.raises(BadUpstream):
        await service.send(upload)
    assert (len(raw.requests), identity.tokens) == (1, [b"b"])
    assert (await service.send(call())).body == b"ok"


async def test_an_answer_nobody_asked_for_answers_nothing(serve: Any, make: Make) -> None:
    """HTTP-04"""
    raw = await serve(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    service = make(raw.port)
    for _ in range(3):
        try:
            assert (await service.send(call())).body == b"ok"
        except Refusal as refusal:
            assert isinstance(refusal, BadUpstream)  # noqa: PT017
    assert raw.connections == 3


async def test_a_service_that_is_away_is_unhealthy_until_it_is_back(serve: Any, make: Make) -> None:
    raw = await serve(OK)
    service = make(1)
    assert (await service.health())["state"] == "healthy"
    with pytest.raises(UpstreamUnavailable):
        await service.send(call())
    assert (await service.health())["state"] == "unhealthy"
    back = make(raw.port)
    await back.send(call())
    assert (await back.health())["state"] == "healthy"


@pytest.mark.parametrize("url", ["http://h/?a=1", "ftp://h", "http://u:p@h", "h", "http://"])
async def test_a_url_is_a_plain_place(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        ServiceServer(ServiceConfig(name="x", url=url), Tasks(lambda error: None), is_plain_allowed=True)


async def test_plain_http_is_for_development() -> None:
    """TLS-04"""
    with pytest.raises(ValueError, match="https"):
        ServiceServer(ServiceConfig(name="x", url="http://h"), Tasks(lambda error: None))


async def test_what_was_decided_on_is_what_is_asked_for(make: Make) -> None:
    """EGR-03, HTTP-01, HTTP-10: for whatever gets past the door, there is one path, and it is below the root."""
    service = make(1)
    route = Route("x", "/api/x", ("GET",), frozenset(), 1, 1)
    step = Services(Routes([route]), bounds=Bounds(), monotonic=lambda: 0.0)
    chance = random.Random(20261121)
    text = b"/ . .. %2e %2E%2e %2f %5c \\ ; %3b %25 %00 a %41 %c3%a4 %ff ~ %7e %20 + %0a : @ // %23 %3f * %e2%80%ae x"
    pieces = text.split()
    passed = 0
    for _ in range(20_000):
        raw = b"/api/x" + b"".join(chance.choice(pieces) for _ in range(chance.randrange(8)))
        try:
            path, query = path_of(raw, b"h")
        except Malformed:
            continue
        item = arrival(verb="GET", path=path)
        item.query = query
        try:
            made = await step.read(item)
        except Refusal:
            continue
        passed += 1
        target = service._place.target(made.target, made.arrival.query).decode()
        assert unquote(target.partition("?")[0]) == "/base" + made.target
        assert {".", ".."}.isdisjoint(unquote(target).split("/"))
        assert not set(target) & set(" \\;\r\n\0#")
    assert passed > 1000
