"""Whether a server lives, as a prober asks it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.upstreams.conftest import RawRequest, Serve
from tests.upstreams.transports.http.support import make_call

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, Refusal, UpstreamUnavailable
from mantlet.upstreams.client import HttpClient
from mantlet.upstreams.client.endpoint import parse
from mantlet.upstreams.health.probes import HttpProbe, TcpProbe
from mantlet.upstreams.transports.http import HttpServer
from mantlet.upstreams.transports.http.liveness import Liveness

Opened = Callable[..., HttpServer]


def answer(status: int, message: Any = None, **headers: str) -> bytes:
    body = b"" if message is None else json.dumps(message).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


class Legacy:
    """A legacy server with sessions, which can be forgotten."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.begun = 0
        self.asked: list[str] = []

    async def __call__(self, request: RawRequest, writer: asyncio.StreamWriter) -> None:
        verb = request.line.split()[0].decode()
        session = (request.get(b"mcp-session-id") or b"").decode()
        method = json.loads(request.body)["method"] if request.body else verb
        self.asked.append(method)
        if method == "initialize":
            self.begun += 1
            self.sessions.add(f"s{self.begun}")
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "l", "version": "1"}}
            message = {"jsonrpc": "2.0", "id": "mantlet-probe", "result": result}
            writer.write(answer(200, message, mcp_session_id=f"s{self.begun}"))
        elif session not in self.sessions:
            writer.write(answer(404))
        elif method == "DELETE":
            self.sessions.discard(session)
            writer.write(answer(200))
        elif method == "ping":
            writer.write(answer(200, {"jsonrpc": "2.0", "id": "mantlet-probe", "result": {}}))
        else:
            writer.write(answer(202))


async def asked(probe: Liveness, timeout_s: float = 5.0) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            await probe(timeout_s)
    except Refusal as refusal:
        return refusal.why
    return ""


async def test_a_legacy_server_is_pinged_in_one_session_that_ends_with_the_probe(serve: Serve, opened: Opened) -> None:
    """RES-06"""
    legacy = Legacy()
    probe = opened((await serve(legacy)).url, era="legacy").liveness()
    assert [await asked(probe) for _ in range(4)] == [""] * 4
    assert legacy.begun == 1
    assert legacy.asked.count("ping") == 3
    legacy.sessions.clear()  # it was started anew
    assert await asked(probe) == ""
    assert legacy.begun == 2
    await probe.close()
    assert legacy.sessions == set()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (200, ""),
        (400, ""),
        (404, ""),
        (429, ""),
        (401, "it answered 401"),
        (403, "it answered 403"),
        (302, "it answered 302"),
        (500, "it answered 500"),
        (503, "it answered 503"),
    ],
)
async def test_what_a_modern_server_answers(serve: Serve, opened: Opened, status: int, why: str) -> None:
    raw = await serve(answer(status, {"jsonrpc": "2.0", "id": "mantlet-probe", "result": {}}))
    probe = opened(raw.url, era="modern").liveness()
    assert await asked(probe) == why
    assert raw.requests[0].get(b"mcp-method") == b"server/discover"
    await probe.close()


async def test_a_server_for_users_alone_lives_when_it_refuses_the_node(serve: Serve, opened: Opened) -> None:
    raw = await serve(answer(401))
    probe = opened(raw.url, era="modern").liveness()
    probe._is_for_users = True
    assert await asked(probe) == ""
    await probe.close()


async def test_a_probe_waits_for_no_calls_connection(serve: Serve, opened: Opened) -> None:
    async def silent(request: RawRequest, writer: asyncio.StreamWriter) -> None:
        if request.get(b"mcp-method") == b"server/discover":
            writer.write(answer(200, {"jsonrpc": "2.0", "id": "mantlet-probe", "result": {}}))
        else:
            await asyncio.Event().wait()

    raw = await serve(silent)
    server = opened(raw.url, era="modern", max_connections=1)
    held = asyncio.ensure_future(server.send(make_call()))
    while not raw.requests:
        await asyncio.sleep(0)
    probe = server.liveness()
    assert await asked(probe) == ""
    await probe.close()
    held.cancel()


async def test_nobody_there(opened: Opened, unused_tcp_port: int) -> None:
    probe = opened(unused_tcp_port, era="modern").liveness()
    assert (await asked(probe)).startswith("no connection")
    await probe.close()


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (301, False), (404, False), (500, False)])
async def test_a_path_is_asked(serve: Serve, status: int, good: bool) -> None:
    raw = await serve(answer(status))
    client = HttpClient(parse(raw.url, is_plain_allowed=True), SYSTEM)
    probe = HttpProbe(client, b"/healthz?deep=1", [(b"x-key", b"own")], (200, 204), SYSTEM)
    if good:
        await probe(5.0)
    else:
        with pytest.raises(BadUpstream):
            await probe(5.0)
    assert raw.requests[0].line == b"GET /healthz?deep=1 HTTP/1.1"
    assert raw.requests[0].get(b"x-key") == b"own"
    await probe.close()


async def test_a_mere_connection(serve: Serve, unused_tcp_port: int) -> None:
    raw = await serve(b"")
    await TcpProbe(parse(raw.url, is_plain_allowed=True), None)(5.0)
    with pytest.raises(UpstreamUnavailable):
        await TcpProbe(parse(f"http://127.0.0.1:{unused_tcp_port}", is_plain_allowed=True), None)(5.0)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_real_servers_live(opened: Opened, era: str, request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue(f"{era}_port")
    probe = opened(port).liveness()
    assert [await asked(probe, 20.0) for _ in range(3)] == [""] * 3
    await probe.close()
