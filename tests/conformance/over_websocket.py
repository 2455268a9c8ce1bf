"""Streamable HTTP on loopback for a suite that speaks nothing else; behind it the WebSocket door of a gateway.

`python tests/conformance/over_websocket.py --port 3002 --to ws://127.0.0.1:8090/ws/NAME`. A legacy session is one
WebSocket from `initialize` to DELETE. Modern calls are messages on WebSockets that are used again and again, each by
one call at a time: the suite counts ids from 1 in every scenario, and the door refuses two calls under one id at once.

Nothing is answered here that a WebSocket carries. What it does not carry is HTTP's own: no header of a message is read
but the session's id and those of the opening (`Authorization`, `Origin`, `Host`), and a status follows from the error
code alone.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

SESSION: Final = "mcp-session-id"
SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
VERSION: Final = "io.modelcontextprotocol/protocolVersion"
KEPT: Final = 100
"""Messages that came unasked, for a stream that is not open yet."""
STATUS: Final = {-32700: 400, -32600: 400, -32601: 404, -32602: 400, -32020: 400, -32021: 400, -32022: 400}
"""Of an error, on a request of the newer era (2026-07-28, basic/transports/streamable-http)."""

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Opening(NamedTuple):
    """What of a request's headers opens a WebSocket."""

    authorization: str
    origin: str
    host: str


class Refused(Exception):
    """The door opened no WebSocket."""

    def __init__(self, status: int) -> None:
        self.status = status


class Line:
    """One WebSocket: whose request under way a message belongs to, or the stream of those that nobody asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.waiting: dict[object, asyncio.Queue[Message | None]] = {}
        self.unasked: deque[Message] = deque(maxlen=KEPT)
        self.has_unasked = asyncio.Event()
        self._tokens: dict[object, object] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                self._lead(json.loads(text))
        for queue in self.waiting.values():
            queue.put_nowait(None)

    def _lead(self, message: Message) -> None:
        if "method" not in message:
            if (queue := self.waiting.get(message.get("id"))) is not None:
                queue.put_nowait(message)
            return
        params = message.get("params") or {}
        named = self._tokens.get(params.get("progressToken"), (params.get("_meta") or {}).get(SUBSCRIPTION))
        if (queue := self.waiting.get(named) or next(reversed(self.waiting.values()), None)) is not None:
            queue.put_nowait(message)
        else:
            self.unasked.append(message)
            self.has_unasked.set()

    def ask(self, message: Message) -> asyncio.Queue[Message | None]:
        """Where messages for this request will come, its answer last; None when the connection ended before it."""
        token = ((message.get("params") or {}).get("_meta") or {}).get("progressToken")
        self._tokens[token] = message.get("id")
        queue = self.waiting[message.get("id")] = asyncio.Queue()
        return queue

    @property
    def is_open(self) -> bool:
        """Whether the door still holds it open."""
        return not self._reading.done()

    async def end(self) -> None:
        """Close it."""
        self._reading.cancel()
        await self.socket.close()


class Translator:
    """An ASGI application."""

    def __init__(self, to: str, port: int) -> None:
        self._to, self._own = to, {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._sessions: dict[str, Line] = {}
        self._idle: dict[Opening, list[Line]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request of the suite."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            await self._answer(scope["method"], headers, receive, send)
        except Refused as refused:
            await _reply(send, refused.status)

    async def _answer(self, method: str, headers: dict[str, str], receive: Receive, send: Send) -> None:
        body = await _body(receive)
        session = headers.get(SESSION)
        line = self._sessions.get(session or "")
        if method == "POST":
            await self._post(body, headers, line, receive, send)
        elif session is None or method not in ("GET", "DELETE"):
            await _reply(send, 405)
        elif line is None:
            await _reply(send, 404)
        elif method == "DELETE":
            del self._sessions[session]
            await line.end()
            await _reply(send, 200)
        else:
            await _listen(line, receive, send)

    async def _post(
        self, body: bytes, headers: dict[str, str], line: Line | None, receive: Receive, send: Send
    ) -> None:
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        asked = message if isinstance(message, dict) else {"method": ""}
        params = asked.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        is_modern = line is None and isinstance(meta, dict) and VERSION in meta
        if line is None and headers.get(SESSION) is not None and not is_modern:
            await _reply(send, 404)
            return
        opening = self._opening(headers)
        used = line or await self._line(opening)
        if "method" not in asked or (asked["method"] and "id" not in asked):  # an answer of the client, a notification
            await used.socket.send(body.decode(errors="replace"))
            await _reply(send, 202)
            self._done(opening, used, is_idle=line is None)
            return
        queue = used.ask(asked)
        await used.socket.send(body.decode(errors="replace"))
        extra: list[tuple[bytes, bytes]] = []
        is_session = asked["method"] == "initialize" and line is None and not is_modern
        if is_session:
            name = secrets.token_hex(16)
            self._sessions[name] = used
            extra = [(SESSION.encode(), name.encode())]
        if begun := line is not None or is_session:
            await _begin(send, extra)
        is_whole = await _stream(queue, receive, send, has_begun=begun)
        used.waiting.pop(asked.get("id"), None)
        if not is_whole and is_modern:
            cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": asked["id"]}}
            with contextlib.suppress(ConnectionClosed):
                await used.socket.send(json.dumps(cancelled))
        if line is None and not is_session:
            self._done(opening, used, is_idle=is_whole)

    def _opening(self, headers: dict[str, str]) -> Opening:
        host = headers.get("host", "")
        return Opening(headers.get("authorization", ""), headers.get("origin", ""), "" if host in self._own else host)

    async def _line(self, opening: Opening) -> Line:
        idle = self._idle.get(opening, [])
        while idle:
            if (line := idle.pop()).is_open:
                return line
        real = urlsplit(self._to)
        uri = f"ws://{opening.host or real.netloc}{real.path}"
        try:
            socket = await connect(
                uri,
                host=real.hostname,
                port=real.port,
                origin=Origin(opening.origin) if opening.origin else None,
                additional_headers={"Authorization": opening.authorization} if opening.authorization else None,
                subprotocols=[Subprotocol("mcp")],
                max_size=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            raise Refused(refused.response.status_code) from None
        return Line(socket)

    def _done(self, opening: Opening, line: Line, *, is_idle: bool) -> None:
        # One that a call was cancelled on is not used again: nothing more may come for that id, and nothing shall hide
        # it if something does.
        if is_idle:
            self._idle.setdefault(opening, []).append(line)


async def _body(receive: Receive) -> bytes:
    parts = []
    while (event := await receive())["type"] == "http.request":
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            break
    return b"".join(parts)


async def _reply(send: Send, status: int, message: Message | None = None) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if message is None else json.dumps(message).encode()})


async def _stream(queue: asyncio.Queue[Message | None], receive: Receive, send: Send, *, has_begun: bool) -> bool:
    """Whether the answer came before the suite hung up. One that comes first and alone is a body, no stream."""
    left = asyncio.ensure_future(_left(receive))
    try:
        while True:
            coming = asyncio.ensure_future(queue.get())
            await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return False
            message = coming.result()
            is_last = message is None or "method" not in message
            if is_last and not has_begun:
                code = None if message is None else message.get("error", {}).get("code")
                status = 502 if message is None else STATUS.get(code, 200)
                await _reply(send, status, message)
                return True
            if not has_begun:
                await _begin(send, [])
                has_begun = True
            await _event(send, message, is_last=is_last)
            if is_last:
                return True
    finally:
        left.cancel()


async def _listen(line: Line, receive: Receive, send: Send) -> None:
    left = asyncio.ensure_future(_left(receive))
    await _begin(send, [])
    while not left.done():
        while line.unasked:
            await _event(send, line.unasked.popleft(), is_last=False)
        line.has_unasked.clear()
        coming = asyncio.ensure_future(line.has_unasked.wait())
        await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
        coming.cancel()


async def _begin(send: Send, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})


async def _event(send: Send, message: Message | None, *, is_last: bool) -> None:
    body = b"" if message is None else f"event: message\ndata: {json.dumps(message)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", required=True, help="the WebSocket address of one server")
    options = parser.parse_args()
    app: Any = Translator(options.to, options.port)
    uvicorn.run(app, host="127.0.0.1", port=options.port, http="h11", ws="none", log_level="warning")


if __name__ == "__main__":
    main()
