"""The ordinary way to write a proxy in Python: raw ASGI on uvicorn, aiohttp as the client, and less done on the way
(a static token and a counter): `python asgi_proxy.py --port P --upstream URL`. Imports nothing of ours, so that any
interpreter that has the libraries can run it."""

import argparse
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TOKEN = "static-token-of-the-yardstick"
_PASSED_ON = (b"content-type", b"accept", b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id")
_KEPT = ("content-type", "mcp-session-id")


class Proxy:
    """The application."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: Any = None
        self._window: dict[bytes, tuple[int, int]] = {}

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return None
        headers = dict(scope["headers"])
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        credential = headers.get(b"authorization", b"")
        if credential != b"Bearer " + TOKEN.encode():
            return await self._reply(send, 401, [], b"")
        second = int(time.monotonic())
        at, count = self._window.get(credential, (second, 0))
        self._window[credential] = (second, count + 1 if at == second else 1)
        if self._session is None:
            import aiohttp  # type: ignore[import-not-found, unused-ignore]

            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256))
        forwarded = {name.decode(): headers[name].decode() for name in _PASSED_ON if name in headers}
        async with self._session.post(self._upstream, data=body, headers=forwarded) as answer:
            kept = [(n.lower().encode(), v.encode()) for n, v in answer.headers.items() if n.lower() in _KEPT]
            return await self._reply(send, answer.status, kept, await answer.read())

    async def _reply(self, send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until told to stop."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    app = Proxy(options.upstream)
    uvicorn.run(
        app, host="127.0.0.1", port=options.port, loop="uvloop", http="httptools", log_level="error", access_log=False
    )


if __name__ == "__main__":
    main()
