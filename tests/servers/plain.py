"""An ordinary HTTP service, as it comes: ASGI on uvicorn, in the loop of whoever tests it.

Each path behaves in one way. What a test must wait for is an event here, so that nothing sleeps.
"""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import uvicorn


class Plain:
    """The service, and what reached it."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[dict[str, Any]] = []
        self.received = 0
        """Bytes of bodies so far."""
        self.reached = asyncio.Event()
        self.release = asyncio.Event()
        self.gone = asyncio.Event()
        """A client left before it was answered."""
        self.progressed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def has_received(self, count: int) -> None:
        async with self.progressed:
            await self.progressed.wait_for(lambda: self.received >= count)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/base")
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        query = scope["query_string"].decode("latin-1")
        self.requests.append(
            {
                "verb": scope["method"],
                "raw_path": scope["raw_path"].decode(),
                "query": query,
                "headers": headers,
            }
        )
        act = getattr(self, "on_" + path.strip("/").partition("/")[0], self.on_echo)
        await act(self.requests[-1], dict(parse_qsl(query)), receive, send)

    async def body(self, receive: Any) -> AsyncIterator[bytes]:
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                self.gone.set()
                raise ConnectionError
            async with self.progressed:
                self.received += len(event.get("body", b""))
                self.progressed.notify_all()
            if event.get("body"):
                yield event["body"]
            if not event.get("more_body"):
                return

    async def on_echo(self, request: dict[str, Any], _: Any, receive: Any, send: Any) -> None:
        """What was asked, as it came."""
        digest, size = hashlib.sha256(), 0
        async for part in self.body(receive):
            digest.update(part)
            size += len(part)
        said = json.dumps({**request, "size": size, "sha256": digest.hexdigest()}).encode()
        await answer(send, 200, said, [(b"content-type", b"application/json")], is_head=request["verb"] == "HEAD")

    async def on_status(self, request: dict[str, Any], query: dict[str, str], receive: Any, send: Any) -> None:
        """`?code=` with the header fields of the rest of the query."""
        code = int(query.pop("code", "200"))
        fields = [(name.encode(), value.encode()) for name, value in query.items()]
        body = b"" if code in (204, 304) else b"said"
        await answer(send, code, body, fields, is_head=request["verb"] == "HEAD")

    async def on_drip(self, _: Any, query: dict[str, str], receive: Any, send: Any) -> None:
        """One part, and after `release` another and the end."""
        kind = query.get("type", "application/octet-stream").encode()
        fields = [(b"content-type", kind)]
        if "length" in query:
            fields.append((b"content-length", query["length"].encode()))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"first;", "more_body": True})
        await self.release.wait()
        await send({"type": "http.response.body", "body": b"second", "more_body": False})

    async def on_flood(self, _: Any, query: dict[str, str], receive: Any, send: Any) -> None:
        """`?size=` bytes in parts of 64 KiB, as fast as they are taken."""
        left = int(query["size"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while left > 0:
            part = b"x" * min(left, 65536)
            left -= len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
            self.received += len(part)
        await send({"type": "http.response.body", "body": b""})

    async def on_hold(self, _: Any, __: Any, receive: Any, send: Any) -> None:
        """Reads all, then waits until its client leaves or `release`."""
        with contextlib.suppress(ConnectionError):
            async for _part in self.body(receive):
                pass
            self.reached.set()
            leaving = asyncio.ensure_future(receive())
            released = asyncio.ensure_future(self.release.wait())
            await asyncio.wait({leaving, released}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.gone.set()
            leaving.cancel()
            released.cancel()
            await answer(send, 200, b"{}", [(b"content-type", b"application/json")])

    async def on_stream(self, _: Any, __: Any, receive: Any, send: Any) -> None:
        """Parts for ever, until its client leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        self.reached.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def on_duplex(self, _: Any, __: Any, receive: Any, send: Any) -> None:
        """Each part back as it comes."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(ConnectionError):
            async for part in self.body(receive):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def on_early(self, _: Any, __: Any, receive: Any, send: Any) -> None:
        """No, whatever the body says."""
        await answer(send, 422, b"no", [])

    async def on_slow(self, _: Any, __: Any, receive: Any, send: Any) -> None:
        """Takes no body until `release`."""
        self.reached.set()
        await self.release.wait()
        async for _part in self.body(receive):
            pass
        await answer(send, 200, b"", [])


async def answer(
    send: Any, status: int, body: bytes, fields: list[tuple[bytes, bytes]], *, is_head: bool = False
) -> None:
    if status not in (204, 304):
        fields = [*fields, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Plain]:
    """Serve one on a free port of loopback."""
    app = Plain()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        app.port = listening.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]  # they are the test's
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        try:
            yield app
        finally:
            app.release.set()
            server.should_exit = True
            await serving
