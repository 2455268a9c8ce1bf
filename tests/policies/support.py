"""Calls as the steps see them, and what lies behind a step."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from mantlet.core.call import Arrival, Call, Era, Kind, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.wire.mcp.methods import target_of

ALICE = Caller("alice", "iss", "bearer", roles=frozenset({"user"}), credential_id="a")
BOB = Caller("bob", "iss", "bearer", roles=frozenset({"user"}), credential_id="b")
VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}


def arrival(
    *,
    body: bytes = b"",
    caller: Caller | None = ALICE,
    verb: str = "POST",
    path: str = "/mcp/one",
    fields: Sequence[tuple[bytes, bytes]] = (),
) -> Arrival:
    async def read() -> bytes:
        return body

    trail = Trail("r1", "http", "192.0.2.1", 1.0)
    return Arrival(verb, path, b"", Headers(list(fields)), "192.0.2.1", read, 1000.0, trail, caller=caller)


def call(
    method: str = "tools/call",
    params: dict[str, Any] | None = None,
    *,
    server: str = "one",
    caller: Caller = ALICE,
    era: Era = "modern",
    kind: Kind = "request",
    session: str = "",
    raw_id: bytes | None = b"1",
    fields: Sequence[tuple[bytes, bytes]] = (),
) -> Call:
    params = dict(params or {})
    if era == "modern":
        params.setdefault("_meta", META)
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if raw_id is not None:
        message["id"] = json.loads(raw_id)
    return Call(
        arrival=arrival(caller=caller, fields=fields),
        caller=caller,
        kind=kind,
        era=era,
        server=server,
        method=method,
        target=target_of(method, params),
        params=params,
        body=json.dumps(message).encode(),
        id=raw_id,
        deadline_s=1000.0,
        session=session,
        message=message,
    )


class Stream:
    """Chunks that were made before, and whether they were closed."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


def reply(result: Any = None, *, status: int = 200, **envelope: Any) -> Reply:
    message = {"jsonrpc": "2.0", "id": 1, **({"result": result} if result is not None else {}), **envelope}
    return Reply(status, [(b"content-type", b"application/json")], json.dumps(message).encode())


def sse(*messages: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages)


class Onward:
    """What lies behind the step: notes what reached it and answers as it was told."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.reached: list[Any] = []

    async def __call__(self, item: Any, /) -> Reply:
        self.reached.append(item)
        return self._replies.pop(0) if self._replies else reply({})
