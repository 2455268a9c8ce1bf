"""The same over real HTTP, with a server that does on each request what the test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.upstreams.bridge.to_modern.support import (
    ADA,
    DISCOVERY,
    FORM,
    Client,
    Events,
    FakePost,
    FakeState,
    note,
    process,
    until,
)
from tests.upstreams.conftest import RawRequest, RawServer, Serve
from tests.upstreams.transports.http.support import FakeSealer

from mantlet.upstreams.bridge.to_modern import ToModern, feed
from mantlet.upstreams.transports.http import HttpServer, HttpServerConfig
from mantlet.wire.sse import format_event

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Door:
    """A crossing before `raw`; `said` is what the server does with each method."""

    def __init__(self, raw: RawServer) -> None:
        self.raw = raw
        config = HttpServerConfig(name="s", url=raw.url, era="modern")
        self.upstream = HttpServer(config, FakeSealer(), is_plain_allowed=True)
        self.errors: list[BaseException] = []
        self.crossing: ToModern = process(self.upstream, FakeState(), FakePost({}, "house"), errors=self.errors)


class Script:
    """What the server does: a method's entry gets the message and the connection."""

    def __init__(self) -> None:
        self.on: dict[str, Any] = {"server/discover": lambda message, writer: whole(writer, message, DISCOVERY)}

    async def __call__(self, request: RawRequest, writer: asyncio.StreamWriter) -> None:
        message = json.loads(request.body)
        outcome = self.on[message["method"]](message, writer)
        if outcome is not None:
            await outcome


def whole(writer: asyncio.StreamWriter, message: Any, value: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value}).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


def chunk(writer: asyncio.StreamWriter, message: bytes) -> None:
    event = format_event(message)
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def door(serve: Serve, script: Script) -> AsyncIterator[Door]:
    made = Door(await serve(script))
    yield made
    await made.crossing.close()
    await made.upstream.close()
    assert made.errors == []


async def opened(door: Door) -> Client:
    client = Client(door.crossing)
    await client.open()
    return client


def asks(message: Any, writer: asyncio.StreamWriter) -> None:
    whole(writer, message, {"resultType": "input_required", "inputRequests": {"k": FORM}, "requestState": "s"})


async def test_what_the_server_sees_is_a_modern_client(door: Door, script: Script) -> None:
    """FWD-01, MCP-01"""
    script.on["tools/call"] = lambda message, writer: whole(writer, message, {"resultType": "complete", "content": []})
    client = await opened(door)
    await client.ask("tools/call", {"name": "x"})
    request = door.raw.requests[-1]
    assert request.get(b"mcp-protocol-version") == b"2026-07-28"
    assert request.get(b"mcp-method") == b"tools/call"
    assert request.get(b"mcp-name") == b"x"
    assert request.get(b"mcp-session-id") is None
    assert {one.line for one in door.raw.requests} == {b"POST /mcp HTTP/1.1"}


async def test_a_server_that_dies_while_its_client_thinks_is_an_error(door: Door, script: Script) -> None:
    def tool(message: Any, writer: asyncio.StreamWriter) -> None:
        if "inputResponses" in message["params"]:
            writer.close()
        else:
            asks(message, writer)

    script.on["tools/call"] = tool
    client = await opened(door)
    events = Events(await client.send("tools/call", {"name": "x"}, id=3))
    await client.answer((await events.next())["id"], ADA)
    answer = await events.next()
    assert answer["id"] == 3
    assert answer["error"]["data"]["reason"] in ("bad_upstream", "upstream_unavailable")
    await until(lambda: not sum(door.crossing.counts().values()))


async def test_a_stream_that_breaks_off_is_an_error(door: Door, script: Script) -> None:
    async def tool(message: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        chunk(writer, note("notifications/progress", progressToken=1, progress=1))
        await writer.drain()
        writer.close()

    script.on["tools/call"] = tool
    client = await opened(door)
    said = await Events(await client.send("tools/call", {"name": "x"})).rest()
    assert [message.get("method") for message in said] == ["notifications/progress", None]
    assert said[-1]["error"]["data"]["reason"] == "bad_upstream"


@pytest.mark.parametrize("how", ["leaves", "cancels", "ends the session"])
async def test_the_server_hears_when_nobody_waits_any_more(door: Door, script: Script, how: str) -> None:
    """2026-07-28, streamable-http, "Cancellation": by the end of the connection."""

    async def tool(message: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        chunk(writer, note("notifications/progress", progressToken=1, progress=1))
        await asyncio.Event().wait()

    script.on["tools/call"] = tool
    client = await opened(door)
    events = Events(await client.send("tools/call", {"name": "x"}, id=3))
    await events.next()
    assert not door.raw.gone.is_set()
    if how == "leaves":
        await events.close()
    elif how == "cancels":
        await client.tell("notifications/cancelled", {"requestId": 3})
    else:
        await client.end()
    async with asyncio.timeout(5):
        await door.raw.gone.wait()


async def test_the_connection_of_a_stream_that_ended_is_used_again(door: Door, script: Script) -> None:
    def tool(message: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        chunk(writer, note("notifications/progress", progressToken=1, progress=1))
        result = {"resultType": "complete", "content": []}
        chunk(writer, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())
        writer.write(b"0\r\n\r\n")

    script.on["tools/call"] = tool
    client = await opened(door)
    for _ in range(5):
        assert len(await Events(await client.send("tools/call", {"name": "x"})).rest()) == 2
        await until(lambda: not sum(door.crossing.counts().values()))
    assert door.raw.connections == 1


async def test_a_listen_stream_that_breaks_off_is_opened_anew(
    door: Door, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.0)
    times = 0

    async def listen(message: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal times
        times += 1
        writer.write(STREAM)
        chunk(writer, note("notifications/subscriptions/acknowledged", notifications={}))
        chunk(writer, note("notifications/tools/list_changed"))
        await writer.drain()
        if times < 3:
            writer.close()
        else:
            await asyncio.Event().wait()

    script.on["subscriptions/listen"] = listen
    client = await opened(door)
    events = Events(await client.stream())
    for _ in range(3):
        assert (await events.next())["method"] == "notifications/tools/list_changed"
    assert times == 3
