"""The cheap server over HTTP: `python -m bench.servers.http_echo --port 3000 --era modern`.

An asyncio Protocol on uvloop, so that what a round costs is the gateway's and not the server's.
"""

import argparse
import asyncio
import itertools
from typing import cast

import httptools
import uvloop

from bench.servers.echo import Echo

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
_NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\ncontent-length: 0\r\n\r\n"
_ENDED = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_MISSING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    sessions = itertools.count(1)
    live: set[bytes] = set()  # noqa: RUF012  (one process, one server)

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._session = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._body = self._session = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"mcp-session-id":
            self._session = value.strip()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        verb = self._parser.get_method()
        if verb == b"DELETE":
            self.live.discard(self._session)
            return self._transport.write(_ENDED)
        if verb != b"POST":
            return self._transport.write(_NOT_ALLOWED)
        if self._echo.era == "legacy" and self._session and self._session not in self.live:
            return self._transport.write(_MISSING)
        method, answer = self._echo.answer(self._body)
        if answer is None:
            return self._transport.write(_ACCEPTED)
        head = _OK + b"%d\r\n" % len(answer)
        if method == "initialize":
            session = b"session-%d" % next(self.sessions)
            self.live.add(session)
            head += b"mcp-session-id: " + session + b"\r\n"
        return self._transport.write(head + b"\r\n" + answer)


async def serve(port: int, echo: Echo) -> None:
    """Serve on loopback until cancelled."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(echo), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--era", choices=["modern", "legacy", "both"], default="modern")
    parser.add_argument("--tools", type=int, default=1)
    options = parser.parse_args()
    uvloop.run(serve(options.port, Echo(options.era, options.tools)))


if __name__ == "__main__":
    main()
