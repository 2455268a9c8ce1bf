"""Against a real server on the official SDK, both eras."""

import asyncio
from typing import Any

import pytest
from tests.upstreams.transports.http.support import ALICE, BOB, answer_of, events_of, make_call

from mantlet.core.caller import Caller
from mantlet.core.refusal import DeadlineExceeded, EraUnavailable, SessionNotFound
from mantlet.upstreams.transports.http import HttpServer


def tool(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


async def begin(server: HttpServer, caller: Caller = ALICE) -> str:
    """A legacy session; gives its id as the client sees it."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    reply = await server.send(make_call("initialize", params, era="legacy", caller=caller))
    assert (await answer_of(reply))["result"]["protocolVersion"] == "2025-11-25"
    session = (reply.header(b"mcp-session-id") or b"").decode()
    assert session
    ready = make_call("notifications/initialized", era="legacy", kind="notification", caller=caller, session=session)
    assert (await server.send(ready)).status == 202
    return session


async def wait_for_witness(server: HttpServer, column: str, tag: str) -> None:
    while True:
        seen = await answer_of(await server.send(make_call(params=tool("witness"))))
        if tag in seen["result"]["structuredContent"][column]:
            return


async def test_a_dual_server_is_found_to_be_dual(opened: Any, everything_port: int) -> None:
    server = opened(everything_port)
    assert (await server.health())["state"] == "healthy"
    assert await server.eras() == {"modern", "legacy"}


async def test_a_modern_call_and_its_answer(opened: Any, everything_port: int) -> None:
    server = opened(everything_port)
    reply = await server.send(make_call(params=tool("add", a=2, b=3), id="ä"))
    answer = await answer_of(reply)
    assert (reply.status, answer["id"], answer["result"]["structuredContent"]) == (200, "ä", {"result": 5})
    assert reply.header(b"server") is None


async def test_progress_streams_before_the_answer(opened: Any, everything_port: int) -> None:
    server = opened(everything_port)
    params = tool("progress", steps=3) | {"_meta": {"progressToken": "p"}}
    reply = await server.send(make_call(params=params))
    events = await events_of(reply)
    assert [b"notifications/progress" in event.data for event in events] == [True, True, True, False]
    assert (await server.health())["connections"]["idle"] == 1  # read to its end, the connection is kept


async def test_modern_errors_pass_with_their_status(opened: Any, everything_port: int) -> None:
    server = opened(everything_port)
    reply = await server.send(make_call("no/such"))
    assert (reply.status, (await answer_of(reply))["error"]["code"]) == (404, -32601)


async def test_no_credential_of_the_caller_reaches_the_server(opened: Any, everything_port: int) -> None:
    """FWD-01, FWD-03"""
    server = opened(everything_port, headers={"X-Own-Key": "node-secret"})
    mine = [
        (b"authorization", b"Bearer caller"),
        (b"cookie", b"a=b"),
        (b"x-api-key", b"k"),
        (b"forwarded", b"for=1.2.3.4"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"connection", b"close"),
        (b"mcp-session-id", b"s"),
        (b"last-event-id", b"1"),
        (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (b"mcp-param-region", b"eu"),
    ]
    answer = await answer_of(await server.send(make_call(params=tool("headers"), headers=mine)))
    seen = answer["result"]["structuredContent"]
    assert set(seen) == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-param-region",
        "traceparent",
        "x-own-key",
    }
    assert seen["host"] == f"127.0.0.1:{everything_port}"
    assert "node-secret" not in repr(server._config)


async def test_a_legacy_session_from_beginning_to_end(opened: Any, everything_port: int) -> None:
    """MCP-04"""
    server = opened(everything_port)
    session = await begin(server)
    reply = await server.send(make_call(params=tool("echo", message="hi"), era="legacy", session=session))
    assert (await answer_of(reply))["result"]["content"][0]["text"] == "hi"
    assert reply.header(b"mcp-session-id") in (None, session.encode())
    stream = await server.send(make_call(kind="stream", era="legacy", session=session))
    assert stream.is_stream
    await stream.body.aclose()  # type: ignore[union-attr]
    ended = await server.send(make_call(kind="end", era="legacy", session=session))
    assert (ended.status, ended.body) == (200, b"")
    with pytest.raises(SessionNotFound):
        await server.send(make_call("tools/list", era="legacy", session=session))


async def test_a_session_works_through_another_worker(opened: Any, everything_port: int) -> None:
    session = await begin(opened(everything_port))
    other = opened(everything_port)
    assert (await answer_of(await other.send(make_call("tools/list", era="legacy", session=session))))["result"]


@pytest.mark.parametrize("kind", ["request", "notification", "response", "stream", "end"])
async def test_anothers_session_is_an_unknown_session(opened: Any, everything_port: int, kind: Any) -> None:
    """AUTHZ-04"""
    server = opened(everything_port)
    session = await begin(server)
    for caller, text in ((BOB, session), (ALICE, session[:-2]), (ALICE, "made-up"), (ALICE, "ÿ" * 9)):
        with pytest.raises(SessionNotFound):
            await server.send(make_call("tools/list", era="legacy", kind=kind, caller=caller, session=text))


async def test_cancelling_a_call_cancels_the_tool(opened: Any, everything_port: int) -> None:
    """MCP-07"""
    server = opened(everything_port)
    call = asyncio.ensure_future(server.send(make_call(params=tool("slow", tag="cancelled-call"))))
    await wait_for_witness(server, "started", "cancelled-call")
    if call.done():  # the head of a stream may have come already
        await call.result().body.aclose()
    call.cancel()
    await asyncio.wait([call])
    await asyncio.wait_for(wait_for_witness(server, "cancelled", "cancelled-call"), 5)


async def test_a_passed_deadline_cancels_the_tool(opened: Any, everything_port: int) -> None:
    """RES-03"""
    server = opened(everything_port)
    await server.eras()
    with pytest.raises(DeadlineExceeded):
        await server.send(make_call(params=tool("slow", tag="late"), timeout_s=0.5))
    await asyncio.wait_for(wait_for_witness(server, "cancelled", "late"), 5)


async def test_many_callers_at_once_never_cross(opened: Any, everything_port: int) -> None:
    """MCP-05"""
    server = opened(everything_port, max_connections=24)

    async def caller(number: int) -> None:
        for turn in range(6):
            text = f"{number}/{turn}"
            answer = await answer_of(await server.send(make_call(params=tool("echo", message=text), timeout_s=30)))
            assert answer["result"]["structuredContent"]["result"] == text

    await asyncio.gather(*(caller(number) for number in range(64)))
    assert (await server.health())["connections"]["opened"] <= 24


@pytest.mark.slow
async def test_a_legacy_server_refuses_modern_calls_in_clear_words(opened: Any, legacy_port: int) -> None:
    server = opened(legacy_port)
    assert await server.eras() == {"legacy"}
    with pytest.raises(EraUnavailable, match="only legacy") as refused:
        await server.send(make_call(params=tool("add", a=1, b=1)))
    assert refused.value.supported == ["2025-11-25"]
    assert await begin(server)


@pytest.mark.slow
async def test_a_modern_server_refuses_legacy_calls_in_clear_words(opened: Any, modern_port: int) -> None:
    server = opened(modern_port)
    assert await server.eras() == {"modern"}
    with pytest.raises(EraUnavailable, match="only modern") as refused:
        await server.send(make_call("initialize", {"protocolVersion": "2025-06-18"}, era="legacy"))
    assert (refused.value.requested, refused.value.supported) == ("2025-06-18", ["2026-07-28"])
    for kind in ("stream", "end", "response", "notification"):
        with pytest.raises(EraUnavailable, match="only modern"):
            await server.send(make_call(kind=kind, era="legacy"))
