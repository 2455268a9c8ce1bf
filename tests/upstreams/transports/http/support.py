"""Calls as the path makes them, and a sealer that seals nothing but keeps contexts apart."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from mantlet.core.call import Arrival, Call, Era, Kind, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, target_of
from mantlet.wire.sse import Event, SseSplitter

ALICE = Caller("alice", "https://idp.example", "jwt")
BOB = Caller("bob", "https://idp.example", "jwt")
META = {
    META_VERSION: "2026-07-28",
    META_CLIENT_INFO: {"name": "test", "version": "1"},
    META_CAPABILITIES: {},
}


class FakeSealer:
    def seal(self, plain: bytes, context: bytes, /) -> str:
        tag = hashlib.sha256(context + b"\0" + plain).digest()[:8]
        return base64.urlsafe_b64encode(tag + plain[::-1]).decode()

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        try:
            raw = base64.urlsafe_b64decode(sealed)
        except ValueError:
            return None
        plain = raw[8:][::-1]
        return plain if raw[:8] == hashlib.sha256(context + b"\0" + plain).digest()[:8] else None


async def _unread() -> bytes:
    raise AssertionError("the body was read already")


def make_call(
    method: str = "tools/call",
    params: dict[str, Any] | None = None,
    *,
    era: Era = "modern",
    kind: Kind = "request",
    id: Any = 1,  # noqa: A002
    caller: Caller = ALICE,
    session: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    timeout_s: float = 10.0,
    body: bytes | None = None,
) -> Call:
    params = dict(params or {})
    target = target_of(method, params)
    fields = [(b"accept", b"application/json, text/event-stream"), (b"content-type", b"application/json")]
    if era == "modern":
        params["_meta"] = {**META, **params.get("_meta", {})}
        fields += [(b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", method.encode())]
        if target:
            fields.append((b"mcp-name", target.encode()))
    elif method != "initialize":
        fields.append((b"mcp-protocol-version", b"2025-11-25"))
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if kind == "request":
        message["id"] = id
    if kind == "response":
        message |= {"id": id, "result": {}}
    else:
        message |= {"method": method, "params": params}
    if kind in ("stream", "end"):
        fields[0] = (b"accept", b"text/event-stream")
    deadline_s = time.monotonic() + timeout_s
    arrival = Arrival(
        verb={"stream": "GET", "end": "DELETE"}.get(kind, "POST"),
        path="/mcp/everything",
        query=b"",
        headers=Headers([*fields, *(headers or [])]),
        peer="127.0.0.1",
        read=_unread,
        deadline_s=deadline_s,
        trail=Trail("r", "http", "127.0.0.1", 0.0),
    )
    return Call(
        arrival=arrival,
        caller=caller,
        kind=kind,
        era=era,
        server="everything",
        method=method if kind in ("request", "notification") else "",
        target=target,
        params=params,
        body=b"" if kind in ("stream", "end") else (body or json.dumps(message).encode()),
        id=json.dumps(id).encode() if kind == "request" else None,
        deadline_s=deadline_s,
        session=session,
        message=message,
    )


async def events_of(reply: Reply) -> list[Event]:
    assert isinstance(reply.body, AsyncIterator)
    splitter = SseSplitter(1_000_000)
    return [event async for chunk in reply.body for event in splitter.feed(chunk) if event.data]


async def answer_of(reply: Reply) -> Any:
    """The response, whichever form it came in."""
    if isinstance(reply.body, bytes):
        return json.loads(reply.body)
    return json.loads((await events_of(reply))[-1].data)
