"""Clients of the HTTP+SSE transport: the stream, the URL it names, and posts wherever they land."""

import asyncio
import itertools
import json
import os
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RateLimited,
    Refusal,
    SessionNotFound,
    Unauthenticated,
    UnsupportedMediaType,
)
from mantlet.core.tasks import Tasks
from mantlet.keys.seal import NodeSealer
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.sse import SseClients, SseConfig
from mantlet.stores.post import LocalPost
from mantlet.wire.answer import refused
from mantlet.wire.sse import SseSplitter

PATIENCE_S = 10.0
ALICE, BOB = Caller("alice", "test", "test"), Caller("bob", "test", "test")
KEY = os.urandom(32)
JSON = (b"content-type", b"application/json")


class Worker:
    """One process of a node; those that share `houses` can reach each other."""

    def __init__(self, houses: MutableMapping[str, LocalPost], limits: Any = None, **settings: Any) -> None:
        self.arrivals: list[Arrival] = []
        self.tasks = Tasks(lambda error: None)
        self.gate: asyncio.Event | None = None
        self.cancelled = 0
        ids = itertools.count(1)
        clock = Clock(lambda: 1000.0, lambda: 1000.0)
        config = msgspec.convert(settings, SseConfig)
        self.terms = Terms(
            handler=self._handle,
            refuse=self._refuse,
            clock=clock,
            tasks=self.tasks,
            new_id=lambda: f"r{next(ids)}",
            on_error=lambda error, _: None,
            door="sse",
            max_in_flight=config.max_in_flight,
        )
        self.post = LocalPost(houses)
        self.clients = SseClients(
            config, self.terms, ["/mcp", "/mcp/one"], sealer=NodeSealer([KEY]), post=self.post, limits=limits
        )

    async def _handle(self, arrival: Arrival) -> Reply:
        self.arrivals.append(arrival)
        message = json.loads(await arrival.read())
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if "id" not in message:
            return Reply(202, [])
        return Reply(200, [], json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}).encode())

    async def _refuse(self, trail: Trail, refusal: Refusal) -> Reply:
        return refused(refusal, trail)

    async def ask(self, verb: str, target: str, body: bytes = b"", caller: Caller | None = ALICE,
                  fields: list[tuple[bytes, bytes]] | None = None) -> Reply:  # fmt: skip
        async def read() -> bytes:
            return body

        async def onward(arrival: Arrival) -> Reply:
            return Reply(299, [])

        path, _, query = target.partition("?")
        trail = Trail("r", "http", "192.0.2.1", 1.0)
        headers = Headers([JSON] if fields is None else fields)
        arrival = Arrival(verb, path, query.encode(), headers, "192.0.2.1", read, 2000.0, trail, caller=caller)
        return await self.clients(arrival, onward)

    async def open(self, path: str = "/sse", caller: Caller = ALICE) -> "Heard":
        reply = await self.ask("GET", path, caller=caller)
        assert reply.status == 200
        assert reply.header(b"content-type") == b"text/event-stream"
        heard = Heard(reply.body)
        first = await heard.next()
        assert first.startswith(b"event: endpoint\ndata: ")
        heard.url = first.split(b"data: ")[1].strip().decode()
        return heard


class Heard:
    """What comes on a stream."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.url = ""

    async def next(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return bytes(await anext(self.body))

    async def message(self) -> Any:
        (event,) = SseSplitter(10_000).feed(await self.next())
        return json.loads(event.data)


def ping(number: int = 1) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode()


@pytest.fixture
def houses() -> MutableMapping[str, LocalPost]:
    return {}


async def test_what_is_posted_is_answered_on_the_stream(houses: Any) -> None:
    worker = Worker(houses)
    heard = await worker.open("/sse/one")
    assert heard.url.startswith("/sse/one?session=")
    reply = await worker.ask("POST", heard.url, ping(7))
    assert (reply.status, reply.body) == (202, b"Accepted")
    assert (await heard.message())["id"] == 7
    (arrival,) = worker.arrivals
    assert (arrival.path, arrival.caller, arrival.is_message) == ("/mcp/one", ALICE, True)
    assert arrival.trail.door == "sse"


async def test_a_post_that_another_worker_takes_finds_its_stream(houses: Any) -> None:
    here, there = Worker(houses), Worker(houses)
    heard = await here.open()
    assert (await there.ask("POST", heard.url, ping())).status == 202
    assert (await heard.message())["id"] == 1
    assert not there.arrivals


async def test_a_session_whose_process_is_gone_is_gone(houses: Any) -> None:
    here, there = Worker(houses), Worker(houses)
    heard = await here.open()
    here.post.leave()
    with pytest.raises(SessionNotFound):
        await there.ask("POST", heard.url, ping())


async def test_a_session_is_of_its_caller_and_its_endpoint(houses: Any) -> None:
    """MCP-04: foreign looks like unknown."""
    worker = Worker(houses)
    heard = await worker.open("/sse/one")
    session = heard.url.partition("?")[2]
    for target, caller in (
        (heard.url, BOB),
        (f"/sse?{session}", ALICE),
        (f"{heard.url}x", ALICE),
        (f"{heard.url}&{session}", ALICE),
        ("/sse/one?session=", ALICE),
        ("/sse/one", ALICE),
        ("/sse/one?session=%ff", ALICE),
    ):
        with pytest.raises(SessionNotFound):
            await worker.ask("POST", target, ping(), caller)
    assert not worker.arrivals


async def test_every_request_says_who_it_is_from(houses: Any) -> None:
    """AUTHN-06: the URL alone opens nothing."""
    worker = Worker(houses)
    heard = await worker.open()
    with pytest.raises(Unauthenticated):
        await worker.ask("POST", heard.url, ping(), None)
    with pytest.raises(Unauthenticated):
        await worker.ask("GET", "/sse", caller=None)


@pytest.mark.parametrize(
    ("verb", "target", "fields", "refusal"),
    [
        ("GET", "/sse/nobody", None, NotFound),
        ("GET", "/sse/one/two", None, NotFound),
        ("DELETE", "/sse", None, MethodNotAllowed),
        ("POST", "URL", [(b"content-type", b"text/plain")], UnsupportedMediaType),
        ("POST", "URL", [], UnsupportedMediaType),
    ],
)
async def test_what_is_not_offered_is_refused(
    houses: Any, verb: str, target: str, fields: Any, refusal: type[Refusal]
) -> None:
    worker = Worker(houses)
    heard = await worker.open()
    with pytest.raises(refusal):
        await worker.ask(verb, target.replace("URL", heard.url), ping(), fields=fields)


async def test_a_post_without_a_message_is_refused(houses: Any) -> None:
    worker = Worker(houses)
    heard = await worker.open()
    with pytest.raises(InvalidRequest):
        await worker.ask("POST", heard.url)


@pytest.mark.parametrize("path", ["/mcp", "/ssex", "/sse-more", "/"])
async def test_all_else_passes_by(houses: Any, path: str) -> None:
    assert (await Worker(houses).ask("GET", path)).status == 299


async def test_the_end_of_the_stream_is_the_end_of_its_work_and_session(houses: Any) -> None:
    """MCP-07"""
    worker = Worker(houses)
    worker.gate = asyncio.Event()
    heard = await worker.open()
    await worker.ask("POST", heard.url, ping())
    async with asyncio.timeout(PATIENCE_S):
        while not worker.arrivals:
            await asyncio.sleep(0)
    await heard.body.aclose()
    async with asyncio.timeout(PATIENCE_S):
        while worker.cancelled != 1:
            await asyncio.sleep(0)
    assert not worker.terms.open
    with pytest.raises(SessionNotFound):
        await worker.ask("POST", heard.url, ping())


async def test_more_than_fits_is_refused_where_it_is_posted(houses: Any) -> None:
    """RATE-06"""
    worker = Worker(houses, max_streams=1, max_in_flight=2)
    worker.gate = asyncio.Event()
    heard = await worker.open()
    with pytest.raises(Overloaded):
        await worker.ask("GET", "/sse")
    for number in range(4):
        await worker.ask("POST", heard.url, ping(number))
    with pytest.raises(Overloaded):
        await worker.ask("POST", heard.url, ping(9))
    await heard.body.aclose()
    assert (await worker.ask("GET", "/sse")).status == 200


async def test_more_than_fits_is_turned_away_where_another_worker_took_it(houses: Any) -> None:
    """RATE-06: and a client that posts on and reads nothing has its stream ended."""
    here, there = Worker(houses, max_in_flight=1), Worker(houses)
    here.gate = asyncio.Event()
    heard = await here.open()
    for number in range(3):
        await there.ask("POST", heard.url, ping(number))
        await asyncio.sleep(0)
    assert (await heard.message())["error"]["code"] == 4503
    for number in range(8000):
        await there.ask("POST", heard.url, ping(number))
        await asyncio.sleep(0)
        if not here.terms.open:
            break
    assert not here.terms.open


async def test_opening_a_stream_spends_from_the_callers_limits(houses: Any) -> None:
    spent = 0

    async def limits(arrival: Arrival, onward: Any, /) -> Reply:
        nonlocal spent
        spent += 1
        if spent > 1:
            raise RateLimited(
                name="client", limit=1, window_s=1, remaining=0, reset_s=1, retry_after_s=1, is_global=False
            )
        reply: Reply = await onward(arrival)
        return reply

    worker = Worker(houses, limits)
    heard = await worker.open()
    with pytest.raises(RateLimited):
        await worker.ask("GET", "/sse")
    await worker.ask("POST", heard.url, ping())  # its message is limited by itself
    assert spent == 2


@pytest.mark.parametrize(
    ("enabled", "environment", "is_on"),
    [
        (None, "development", True),
        (None, "production", False),
        (True, "production", True),
        (False, "development", False),
    ],
)
def test_it_is_on_by_default_in_development_alone(enabled: bool | None, environment: str, is_on: bool) -> None:
    assert SseConfig(enabled=enabled).is_on(environment) is is_on
