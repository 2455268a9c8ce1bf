"""Streams that last leave connections for calls."""

import asyncio
from typing import Any

import pytest
from tests.upstreams.conftest import RawRequest, Serve
from tests.upstreams.transports.http.support import make_call

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, Overloaded, Refusal
from mantlet.upstreams.transports.http import HttpServerConfig

OK = b'{"jsonrpc":"2.0","id":1,"result":{}}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def patient(request: RawRequest, writer: asyncio.StreamWriter) -> None:
    """Answers calls, and keeps streams open."""
    if request.line.startswith(b"GET") or b"subscriptions/listen" in request.body:
        writer.write(STREAM)
        await asyncio.Event().wait()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(OK), OK))


def stream() -> Call:
    return make_call("", era="legacy", kind="stream", id=None)


def listen() -> Call:
    return make_call("subscriptions/listen", {"notifications": {}})


async def closed(reply: Reply) -> None:
    await reply.body.aclose()  # type: ignore[union-attr]


@pytest.mark.parametrize("lasting", [stream, listen])
async def test_streams_never_take_the_last_connections(opened: Any, serve: Serve, lasting: Any) -> None:
    """MCP-07"""
    server = opened((await serve(patient)).port, era="dual", max_connections=4)
    streams = [await server.send(lasting()) for _ in range(3)]
    with pytest.raises(Overloaded, match="streams"):
        await server.send(lasting())
    assert (await server.send(make_call())).body == OK
    assert (await server.health())["streams"] == {"open": 3, "max": 3}
    await closed(streams.pop())
    streams.append(await server.send(lasting()))
    for reply in streams:
        await closed(reply)
        await closed(reply)
    assert server.room.taken == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_one_that_does_not_begin_takes_no_place(opened: Any, serve: Serve, answer: bytes) -> None:
    async def refusing(request: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    server = opened((await serve(refusing)).port, era="legacy")
    with pytest.raises(Refusal):
        await server.send(stream())
    assert server.room.taken == 0


async def test_one_that_ends_or_breaks_off_gives_its_place_back(opened: Any, serve: Serve) -> None:
    async def ending(request: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"8\r\ndata: 1\n\r\n")
        if request.get(b"last-event-id"):
            writer.write(b"0\r\n\r\n")
        else:
            writer.close()

    server = opened((await serve(ending)).port, era="legacy")
    whole = await server.send(make_call("", era="legacy", kind="stream", headers=[(b"last-event-id", b"1")]))
    assert b"".join([chunk async for chunk in whole.body]) == b"data: 1\n"
    broken = await server.send(stream())
    with pytest.raises(BadUpstream):
        async for _ in broken.body:
            pass
    assert server.room.taken == 0


async def test_a_client_that_leaves_while_it_waits_gives_its_place_back(opened: Any, serve: Serve) -> None:
    silent = asyncio.Event()

    async def slow(request: RawRequest, writer: asyncio.StreamWriter) -> None:
        silent.set()
        await asyncio.Event().wait()

    server = opened((await serve(slow)).port, era="legacy")
    opening = asyncio.ensure_future(server.send(stream()))
    await silent.wait()
    assert server.room.taken == 1
    opening.cancel()
    await asyncio.wait([opening])
    assert server.room.taken == 0


@pytest.mark.parametrize(("config", "streams"), [({}, 75), ({"max_connections": 1}, 1), ({"max_streams": 7}, 7)])
def test_how_many_there_may_be(config: dict[str, int], streams: int) -> None:
    assert HttpServerConfig(name="s", url="http://127.0.0.1/mcp", **config).streams == streams


@pytest.mark.parametrize("streams", [0, 101])
def test_how_many_there_may_not_be(streams: int) -> None:
    with pytest.raises(ValueError, match="max_streams"):
        HttpServerConfig(name="s", url="http://127.0.0.1/mcp", max_streams=streams)
