"""Servers that answer what may not be passed on."""

import asyncio
import json
from typing import Any

import pytest
from tests.upstreams.transports.http.support import ALICE, events_of, make_call

from mantlet.core.refusal import (
    BadUpstream,
    EraUnavailable,
    InvalidRequest,
    Malformed,
    MethodNotAllowed,
    Refusal,
    SessionNotFound,
    UpstreamUnavailable,
)

OK = b'{"jsonrpc":"2.0","id":1,"result":{}}'
ERROR = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}'
JSON = b"content-type: application/json"


def answer(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def stream(*events: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + body
        + b"0\r\n\r\n"
    )


def event(**message: Any) -> bytes:
    return b"event: message\ndata: " + json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (answer(401, ERROR, JSON, b"www-authenticate: Bearer resource_metadata=x"), BadUpstream),
        (answer(403, ERROR, JSON), BadUpstream),
        (answer(407), BadUpstream),
        (answer(302, b"", b"location: http://127.0.0.1/"), BadUpstream),
        (answer(500, b"Traceback"), BadUpstream),
        (answer(503, b"", b"retry-after: 3"), BadUpstream),
        (answer(404, b"no such page"), BadUpstream),
        (answer(400), BadUpstream),
        (answer(400, ERROR.replace(b'"id":1', b'"id":2'), JSON), BadUpstream),
        (answer(400, OK, JSON), BadUpstream),
        (answer(202), BadUpstream),
        (answer(200, b"<html>", b"content-type: text/html"), BadUpstream),
        (answer(200, OK), BadUpstream),
        (answer(200, b"{", JSON), BadUpstream),
        (answer(200, b"[" + OK + b"]", JSON), BadUpstream),
        (answer(200, b"[" * 100_000, JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":2,"result":{}}', JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":"1","result":{}}', JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":null,"result":{}}', JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":1}', JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}', JSON), BadUpstream),
        (answer(200, b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', JSON), BadUpstream),
    ],
)
async def test_what_may_not_be_relayed_becomes_ours(
    opened: Any, serve: Any, raw: bytes, refusal: type[Refusal]
) -> None:
    """FWD-05, MCP-05, MCP-09"""
    server = opened((await serve(raw)).url, era="modern")
    with pytest.raises(refusal):
        await server.send(make_call())


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (answer(401, ERROR, JSON), "no"),
        (answer(403, b"<html>blocked"), "no"),
        (answer(404, b"no such page"), "no"),
        (answer(413, b"too much"), "no"),
        (answer(429, b"slow down"), "busy"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n", "no"),
        (answer(302, b"", b"location: http://127.0.0.1/"), ""),
        (answer(500, b"Traceback"), ""),
        (answer(503, b"busy"), ""),
        (answer(200, b"<html>", b"content-type: text/html"), ""),
    ],
)
async def test_what_a_caller_can_bring_about_says_nothing_against_the_server(
    opened: Any, serve: Any, raw: bytes, said: str
) -> None:
    """RES-01: a proxy before the server that blocks one caller's calls must not open the breaker for all."""
    server = opened((await serve(raw)).url, era="modern")
    with pytest.raises(BadUpstream) as refused:
        await server.send(make_call())
    assert refused.value.said == said


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (answer(200, OK, JSON), 200),
        (answer(200, OK, b"content-type: Application/JSON; charset=utf-8"), 200),
        (answer(200, b' { "result" : {}, "id" : 1 , "jsonrpc":"2.0"} ', JSON), 200),
        (answer(200, ERROR, JSON), 200),
        (answer(400, ERROR, JSON), 400),
        (answer(400, ERROR.replace(b'"id":1', b'"id":null'), JSON), 400),
        (answer(404, ERROR, JSON), 404),
        (answer(503, ERROR, JSON, b"retry-after: 3"), 503),
    ],
)
async def test_json_rpc_answers_pass_byte_for_byte(opened: Any, serve: Any, raw: bytes, status: int) -> None:
    server = opened((await serve(raw)).url, era="modern")
    reply = await server.send(make_call())
    assert (reply.status, reply.body) == (status, raw.partition(b"\r\n\r\n")[2])
    assert reply.header(b"retry-after") == (b"3" if status == 503 else None)


async def test_the_body_goes_out_as_it_came_in(opened: Any, serve: Any) -> None:
    raw = await serve(answer(200, OK, JSON))
    body = b'{ "id":1, "jsonrpc": "2.0",\t"method":"x", "params":{"b":1,"a":2} }\n'
    await opened(raw.url, era="modern").send(make_call("x", body=body))
    assert raw.requests[0].body == body


async def test_answer_headers_pass_by_list(opened: Any, serve: Any) -> None:
    """FWD-05"""
    raw = answer(
        200,
        OK,
        JSON,
        b"set-cookie: a=b",
        b"www-authenticate: Bearer",
        b"location: /x",
        b"server: leaky/1",
        b"access-control-allow-origin: *",
        b"mcp-session-id: abc",
        b"cache-control: no-store",
        b"connection: keep-alive",
    )
    reply = await opened((await serve(raw)).url, era="modern").send(make_call())
    assert reply.headers == [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


async def test_a_header_cannot_hold_a_line_end(opened: Any, serve: Any) -> None:
    """FWD-03"""
    raw = await serve(answer(200, OK, JSON))
    server = opened(raw.url, era="modern")
    for value in (b"a\r\nauthorization: x", b"a\nb", b"a\rb", b"a\0b"):
        with pytest.raises(Malformed):
            await server.send(make_call(headers=[(b"mcp-param-x", value)]))
    assert raw.requests == []


async def test_events_that_a_modern_server_may_not_send_are_dropped_and_counted(opened: Any, serve: Any) -> None:
    """MCP-05, MCP-07"""
    progress = event(method="notifications/progress", params={})
    final = event(id=1, result={})
    escaped = b'data: {"jsonrpc":"2.0","id":7,"\\u006dethod":"sampling/createMessage"}\n\n'
    hidden = b': x\rdata: {"jsonrpc":"2.0","id":7,"method":"ping"}\n\n'
    raw = stream(
        b": hello\n\n",
        progress,
        event(id=7, method="sampling/createMessage", params={}),
        escaped,
        hidden,
        event(id=2, result={}),
        b"data: nonsense\n\n",
        b"data: [" + b"]\n\n",
        b":\r\n",
        final,
        event(method="notifications/late", params={}),
        final,
    )
    server = opened((await serve(raw)).url, era="modern")
    reply = await server.send(make_call())
    body = b"".join([chunk async for chunk in reply.body])  # type: ignore[union-attr]
    assert body == b": hello\n\n" + progress + b":\r\n" + final
    assert server.dropped == 8


async def test_legacy_streams_pass_untouched(opened: Any, serve: Any) -> None:
    parts = (
        event(id=7, method="sampling/createMessage", params={}),
        b"anything: at all\r\n\r\n",
        event(id=1, result={}),
    )
    reply = await opened((await serve(stream(*parts))).url, era="legacy").send(make_call(era="legacy"))
    assert b"".join([chunk async for chunk in reply.body]) == b"".join(parts)  # type: ignore[union-attr]


async def test_a_server_that_does_not_end_after_its_answer_is_ended(opened: Any, serve: Any) -> None:
    """MCP-07"""

    async def lingering(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(stream(event(id=1, result={})).removesuffix(b"0\r\n\r\n"))
        await asyncio.Event().wait()

    raw = await serve(lingering)
    reply = await opened(raw.url, era="modern").send(make_call())
    assert len(await events_of(reply)) == 1
    await asyncio.wait_for(raw.gone.wait(), 5)


async def test_a_stream_that_nobody_began_to_read_can_be_closed(opened: Any, serve: Any) -> None:
    async def endless(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(stream(b":\n").removesuffix(b"0\r\n\r\n"))
        await asyncio.Event().wait()

    raw = await serve(endless)
    reply = await opened(raw.url, era="modern").send(make_call())
    await reply.body.aclose()  # type: ignore[union-attr]
    await asyncio.wait_for(raw.gone.wait(), 5)


async def test_an_endless_event_is_cut(opened: Any, serve: Any) -> None:
    """EGR-04"""
    raw = await serve(stream(*[b"data: " + b"x" * 1000 + b"\n"] * 100))
    reply = await opened(raw.url, era="modern", max_event_bytes=10_000).send(make_call())
    with pytest.raises(BadUpstream):
        await events_of(reply)


@pytest.mark.parametrize(
    ("kind", "raw", "outcome"),
    [
        ("notification", answer(202), 202),
        ("notification", answer(204), 202),
        ("notification", answer(200, OK, JSON), 202),
        ("notification", stream(b"data: x\n\n"), 202),
        ("notification", answer(400), InvalidRequest),
        ("response", answer(202), 202),
        ("request", answer(400, b"Bad Request: no session"), InvalidRequest),
        ("request", answer(404, b"Not Found"), BadUpstream),
        ("stream", answer(405, b"", b"allow: POST, DELETE, TRACE"), MethodNotAllowed),
        ("stream", answer(200, OK, JSON), BadUpstream),
        ("end", answer(405), MethodNotAllowed),
        ("end", answer(200, b"bye"), 200),
        ("end", answer(204), 204),
        ("end", answer(500), BadUpstream),
    ],
)
async def test_legacy_kinds(opened: Any, serve: Any, kind: Any, raw: bytes, outcome: Any) -> None:
    server = opened((await serve(raw)).url, era="legacy")
    call = make_call("tools/list", era="legacy", kind=kind)
    if isinstance(outcome, int):
        reply = await server.send(call)
        assert (reply.status, reply.body) == (outcome, b"")
    else:
        with pytest.raises(outcome) as refused:
            await server.send(call)
        if outcome is MethodNotAllowed:
            assert refused.value.allow in ("POST, DELETE", "POST")


async def test_a_404_for_a_session_says_that_it_is_gone(opened: Any, serve: Any) -> None:
    """MCP-04"""
    raw = await serve(answer(200, OK, JSON, b"mcp-session-id: upstream-own-id"))
    server = opened(raw.url, era="legacy")
    reply = await server.send(make_call("initialize", {"protocolVersion": "2025-11-25"}, era="legacy"))
    sealed = (reply.header(b"mcp-session-id") or b"").decode()
    assert sealed
    assert "upstream-own-id" not in sealed
    reply = await server.send(make_call("tools/list", era="legacy", session=sealed))
    assert raw.requests[-1].get(b"mcp-session-id") == b"upstream-own-id"
    assert reply.header(b"mcp-session-id") is None or reply.header(b"mcp-session-id") == sealed.encode()

    async def gone(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(404, ERROR, JSON))

    raw.handler = gone
    with pytest.raises(SessionNotFound):
        await server.send(make_call("tools/list", era="legacy", session=sealed, caller=ALICE))


async def test_concurrent_first_calls_share_one_probe(opened: Any, serve: Any) -> None:
    go = asyncio.Event()
    probes = []

    async def modern(request: Any, writer: asyncio.StreamWriter) -> None:
        method = json.loads(request.body)["method"]
        if method == "server/discover":
            probes.append(method)
            await go.wait()
            found = {"supportedVersions": ["2026-07-28", "2025-11-25"]}
            writer.write(answer(200, json.dumps({"jsonrpc": "2.0", "id": "p", "result": found}).encode(), JSON))
        else:
            writer.write(answer(200, OK, JSON))

    server = opened((await serve(modern)).url)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(server.send(make_call())) for _ in range(10)]
        while not probes:
            await asyncio.sleep(0.001)
        calls[0].cancel()  # the one who asked first leaves alone
        await asyncio.wait([calls[0]])
        go.set()
    assert [call.result().status for call in calls[1:]] == [200] * 9
    assert probes == ["server/discover"]
    assert await server.eras() == {"modern", "legacy"}


async def test_a_failed_probe_is_not_remembered(opened: Any, serve: Any) -> None:
    answers = [answer(503), answer(503)]

    async def recovering(_: Any, writer: asyncio.StreamWriter) -> None:
        found = {"jsonrpc": "2.0", "id": "p", "result": {"supportedVersions": ["2025-11-25"]}}
        writer.write(answers.pop(0) if answers else answer(200, json.dumps(found).encode(), JSON))

    server = opened((await serve(recovering)).url)
    with pytest.raises(BadUpstream):
        await server.send(make_call())
    assert (await server.health())["state"] == "healthy"
    with pytest.raises(EraUnavailable):
        await server.send(make_call())


async def test_an_unreachable_server_is_unavailable_and_unhealthy(opened: Any, unused_tcp_port: int) -> None:
    server = opened(unused_tcp_port)
    with pytest.raises(UpstreamUnavailable):
        await server.send(make_call())
    health = await server.health()
    assert health["state"] == "unhealthy"
    assert health["reasons"]
