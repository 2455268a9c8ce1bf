"""Calls, callers and servers for the stdio tests."""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.stdio.child import Program
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

SERVERS = Path(__file__).parents[3] / "servers"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
BOTH = b"application/json, text/event-stream"


class PlainSealer:
    """Keeps what it seals; a forged or foreign id opens to nothing."""

    def __init__(self) -> None:
        self._sealed: dict[tuple[str, bytes], bytes] = {}

    def seal(self, plain: bytes, context: bytes, /) -> str:
        sealed = base64.urlsafe_b64encode(plain).decode()
        self._sealed[sealed, context] = plain
        return sealed

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        return self._sealed.get((sealed, context))


def spawning(config: StdioServerConfig) -> Connect:
    """The channel that a stdio server is: its own child."""
    return Program(config, os.environ)


def caller(name: str = "alice") -> Caller:
    return Caller(name, "test", "test")


def call(
    method: str,
    params: dict[str, Any] | None = None,
    *,
    id: object = 1,  # noqa: A002
    era: str = "modern",
    who: str = "alice",
    session: str = "",
    kind: str = "request",
    timeout_s: float = 20.0,
    accept: bytes = BOTH,
) -> Call:
    params = dict(params or {})
    if era == "modern" and kind == "request":
        params["_meta"] = {**META, **params.get("_meta", {})}
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    raw_id = None
    if kind == "request":
        message["id"] = id
        raw_id = json.dumps(id).encode()
    if params:
        message["params"] = params

    async def read() -> bytes:
        return b""

    deadline_s = time.monotonic() + timeout_s
    trail = Trail("r1", "http", "127.0.0.1", 0.0)
    arrival = Arrival("POST", "/mcp", b"", Headers([(b"accept", accept)]), "127.0.0.1", read, deadline_s, trail)
    return Call(
        arrival=arrival,
        caller=caller(who),
        kind=kind,  # type: ignore[arg-type]
        era=era,  # type: ignore[arg-type]
        server="test",
        method=method,
        target="",
        params=params,
        body=json.dumps(message).encode() if kind not in ("stream", "end") else b"",
        id=raw_id,
        deadline_s=deadline_s,
        session=session,
        message=message,
    )


def tool(name: str, arguments: dict[str, Any] | None = None, **options: Any) -> Call:
    meta = options.pop("meta", None)
    params: dict[str, Any] = {"name": name, "arguments": arguments or {}}
    if meta is not None:
        params["_meta"] = meta
    return call("tools/call", params, **options)


def result_of(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


def text_of(reply: Reply) -> str:
    return result_of(reply)["result"]["content"][0]["text"]


async def events_of(reply: Reply) -> list[Any]:
    assert not isinstance(reply.body, bytes)
    raw = b""
    async for chunk in reply.body:
        raw += chunk
    return messages(raw)


def messages(raw: bytes) -> list[Any]:
    blocks = [block for block in raw.decode().split("\n\n") if "data: " in block]
    return [json.loads(block.partition("data: ")[2]) for block in blocks]


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for what another process does; the only thing here that no event can tell."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def server_command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(SERVERS / name), *arguments]


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


async def initialize(server: ChannelServer, who: str = "alice", version: str = "2025-11-25") -> str:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    reply = await server.send(call("initialize", params, era="legacy", who=who))
    session = reply.header(b"mcp-session-id")
    assert session is not None
    return session.decode()
