"""A legacy server over real HTTP that does what a test says, and modern clients before it."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.upstreams.conftest import RawRequest
from tests.upstreams.transports.http.support import ALICE, make_call

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.upstreams.bridge.to_legacy import ToLegacy
from mantlet.wire.mcp.methods import META_CAPABILITIES
from mantlet.wire.sse import SseSplitter

ALL = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
OFFERS = {
    "tools": {"listChanged": True},
    "prompts": {},
    "resources": {"subscribe": True, "listChanged": True},
    "logging": {},
    "tasks": {"list": {}},
}
FORM = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
ACCEPTED = {"action": "accept", "content": {"name": "Ada"}}

Tool = Callable[["Answering"], Awaitable[Any]]
HEAD = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%bTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Answering:
    """One request at the server, for a tool: it may send messages first, and ask the client."""

    server: "Legacy"
    message: dict[str, Any]
    session: str
    writer: asyncio.StreamWriter
    is_begun: bool = False

    @property
    def id(self) -> Any:
        return self.message["id"]

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.message["params"].get("arguments", {}))

    @property
    def token(self) -> Any:
        return self.message["params"].get("_meta", {}).get("progressToken")

    def begin(self) -> None:
        if not self.is_begun:
            self.is_begun = True
            self.writer.write(STREAM % b"")

    def event(self, message: dict[str, Any], *, id: str = "") -> None:  # noqa: A002
        self.begin()
        line = f"id: {id}\n" if id else ""
        write_chunk(self.writer, f"{line}data: {json.dumps({'jsonrpc': '2.0', **message})}\n\n".encode())

    def notify(self, method: str, **params: Any) -> None:
        self.event({"method": method, "params": params})

    async def ask(self, method: str, params: Any = None, *, on_stream: bool = True) -> Any:
        """Send a request to the client, and wait for its response."""
        raw_id = next(self.server.ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.server.asked[self.session, raw_id] = answer
        request = {"jsonrpc": "2.0", "id": raw_id, "method": method, **({"params": params} if params else {})}
        if on_stream:
            self.event(request)
        else:
            self.server.push(self.session, request)
        return await answer


@dataclass
class Legacy:
    """Legacy MCP, as strict as it must be: it knows its sessions, and who answered what."""

    tools: dict[str, Tool] = field(default_factory=dict)
    has_sessions: bool = True
    has_stream: bool = True
    is_json: bool = False
    offers: dict[str, Any] = field(default_factory=lambda: dict(OFFERS))
    opened: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Sessions ever opened, with the params of their `initialize`."""
    live: set[str] = field(default_factory=set)
    got: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Session, protocol version header and message of every POST."""
    asked: dict[tuple[str, int], asyncio.Future[Any]] = field(default_factory=dict)
    subscribed: Counter[str] = field(default_factory=Counter)
    streams: dict[str, asyncio.StreamWriter] = field(default_factory=dict)
    events: dict[str, asyncio.Event] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: itertools.count(1000))
    resumable: dict[bytes, Tool] = field(default_factory=dict)
    before_initialize: asyncio.Event | None = None
    gone: Counter[str] = field(default_factory=Counter)

    def of(self, method: str) -> list[dict[str, Any]]:
        """The messages of a method, in order."""
        return [message for _, _, message in self.got if message.get("method") == method]

    def event(self, name: str) -> asyncio.Event:
        return self.events.setdefault(name, asyncio.Event())

    async def seen(self, name: str) -> None:
        """Wait until `name` has happened: a method, `stream` or `no stream`, or what a tool sets."""
        async with asyncio.timeout(5):
            await self.event(name).wait()
        self.events.pop(name)

    def push(self, session: str, message: dict[str, Any]) -> None:
        """Send on the session's own stream."""
        write_chunk(self.streams[session], f"data: {json.dumps({'jsonrpc': '2.0', **message})}\n\n".encode())

    async def __call__(self, request: RawRequest, writer: asyncio.StreamWriter) -> None:
        verb = request.line.split()[0]
        session = (request.get(b"mcp-session-id") or b"").decode()
        if verb == b"GET":
            await self._stream(request, session, writer)
            return
        if verb == b"DELETE":
            self.live.discard(session)
            self.event("end").set()
            whole(writer, 200, b"")
            return
        message = json.loads(request.body)
        self.got.append((session, (request.get(b"mcp-protocol-version") or b"").decode(), message))
        method = message.get("method", "")
        if method == "initialize":
            await self._initialize(message, writer)
            return
        if self.has_sessions and session not in self.live:
            whole(writer, 404, json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "?"}}))
            return
        if "id" not in message or not method:
            self._heard(session, message)
            whole(writer, 202, b"")
            self.event(method or "response").set()
            return
        await self._request(message, session, writer)

    async def _initialize(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if self.before_initialize is not None:
            self.event("initialize").set()
            await self.before_initialize.wait()
        session = f"s{len(self.opened)}"
        self.opened[session] = message["params"]
        self.live.add(session)
        info = {"name": "scripted", "version": "7"}
        result = {"protocolVersion": "2025-06-18", "capabilities": self.offers, "serverInfo": info}
        result |= {"instructions": "Be kind."}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        header = f"Mcp-Session-Id: {session}\r\n".encode() if self.has_sessions else b""
        whole(writer, 200, json.dumps(answer), header)

    def _heard(self, session: str, message: dict[str, Any]) -> None:
        if "method" in message:
            return
        answer = self.asked.pop((session, message["id"]), None)
        if answer is not None and not answer.done():
            answer.set_result(message.get("result", message.get("error")))

    async def _request(self, message: dict[str, Any], session: str, writer: asyncio.StreamWriter) -> None:
        method, params = message["method"], message.get("params", {})
        name = params.get("name", method) if method == "tools/call" else method
        tool = self.tools.get(name)
        answering = Answering(self, message, session, writer)
        if method in ("resources/subscribe", "resources/unsubscribe"):
            self.subscribed[params["uri"]] += 1 if method == "resources/subscribe" else -1
            result: Any = {}
        elif tool is not None:
            try:
                result = await tool(answering)
            except asyncio.CancelledError:
                self.gone[name] += 1
                raise
        elif method == "logging/setLevel":
            result = {}
        else:
            result = {"error": {"code": -32601, "message": "Method not found"}}
        if result is None:
            return
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        answer |= result if set(result) & {"error"} else {"result": result}
        if answering.is_begun:
            write_chunk(writer, f"data: {json.dumps(answer)}\n\n".encode())
            writer.write(b"0\r\n\r\n")
        elif self.is_json or method != "tools/call":
            whole(writer, 200, json.dumps(answer))
        else:
            writer.write(STREAM % b"")
            write_chunk(writer, f"data: {json.dumps(answer)}\n\n".encode())
            writer.write(b"0\r\n\r\n")
        self.event(method).set()

    async def _stream(self, request: RawRequest, session: str, writer: asyncio.StreamWriter) -> None:
        last = request.get(b"last-event-id")
        if last is not None and last in self.resumable:
            writer.write(STREAM % b"")
            await self.resumable[last](Answering(self, {}, session, writer, is_begun=True))
            writer.write(b"0\r\n\r\n")
            return
        if not self.has_stream:
            whole(writer, 405, b"", b"Allow: POST\r\n")
            self.event("no stream").set()
            return
        if self.has_sessions and session not in self.live:
            whole(writer, 404, b"")
            return
        writer.write(STREAM % b"")
        self.streams[session] = writer
        self.event("stream").set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self.streams.get(session) is writer:
                del self.streams[session]
            self.event("stream gone").set()


def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def whole(writer: asyncio.StreamWriter, status: int, body: str | bytes, extra: bytes = b"") -> None:
    raw = body.encode() if isinstance(body, str) else body
    writer.write(HEAD % (status, b"X", b"application/json", extra, len(raw), raw))


@dataclass
class Client:
    """A modern client of one process."""

    door: ToLegacy
    caller: Caller = ALICE
    capabilities: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def make(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Call:
        meta = {META_CAPABILITIES: self.capabilities, **self.meta, **more.pop("meta", {})}
        more.setdefault("id", next(self.ids))
        return make_call(method, {**(params or {}), "_meta": meta}, caller=self.caller, **more)

    async def send(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Reply:
        return await self.door.send(self.make(method, params, **more))

    async def ask(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Any:
        """The whole response to a request."""
        return (await self.messages(method, params, **more))[-1]

    async def messages(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> list[Any]:
        """All that comes on the reply."""
        return await messages_of(await self.send(method, params, **more))

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Any:
        """The result of a tool, or what else it gives."""
        params = {"name": tool, "arguments": arguments or {}, **more.pop("params", {})}
        answer = await self.ask("tools/call", params, **more)
        return answer.get("result", answer.get("error"))

    async def retry(self, tool: str, state: str, responses: Any = None, **more: Any) -> Any:
        """Try again with input."""
        params = {"requestState": state, **({} if responses is None else {"inputResponses": responses})}
        return await self.call(tool, params=params, **more)


async def messages_of(reply: Reply) -> list[Any]:
    if isinstance(reply.body, bytes):
        return [json.loads(reply.body)]
    return [message async for message in each(reply)]


async def each(reply: Reply) -> AsyncIterator[Any]:
    assert not isinstance(reply.body, bytes)
    splitter = SseSplitter(10_000_000)
    async for chunk in reply.body:
        for event in splitter.feed(chunk):
            if event.data:
                yield json.loads(event.data)


async def close(reply: Reply) -> None:
    assert not isinstance(reply.body, bytes)
    await reply.body.aclose()  # type: ignore[attr-defined]
