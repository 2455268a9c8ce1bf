"""`everything.py` behind sockets: `sockets.py --websocket PORT` (at /mcp) or `--tcp PORT` (a line a message).

A server on mcp 2.x of both eras; a connection keeps the era of its first request. With port 0 the system picks one;
either way a line `listening PORT` goes to stdout once it accepts. `--only legacy` answers `server/discover` as a server
that never heard of it. `--token T` wants it: as a bearer over WebSocket, over TCP in a first message `auth`, whose
session then ends `--expires S` seconds later and with it the connection, unless `auth` comes again.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any

import anyio
import mcp_types
from everything import server
from mcp.shared._context_streams import create_context_streams
from mcp.shared.message import SessionMessage
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


async def talk(
    messages: AsyncIterator[str | bytes], say: Callable[[str], Awaitable[None]], *, is_legacy: bool = False
) -> None:
    """Serve one connection."""
    from_client, reads = create_context_streams[SessionMessage | Exception](0)
    writes, to_client = create_context_streams[SessionMessage](0)

    async def hear() -> None:
        async with from_client:
            async for text in messages:
                try:
                    message = mcp_types.jsonrpc_message_adapter.validate_json(text, by_name=False)
                except ValueError as error:
                    await from_client.send(error)
                    continue
                if is_legacy and getattr(message, "method", "") == "server/discover":
                    error = {"code": -32601, "message": "Method not found"}
                    await say(json.dumps({"jsonrpc": "2.0", "id": message.id, "error": error}))
                    continue
                await from_client.send(SessionMessage(message))

    async def tell() -> None:
        async with to_client:
            async for message in to_client:
                await say(message.message.model_dump_json(by_alias=True, exclude_unset=True))

    low = server._lowlevel_server
    async with anyio.create_task_group() as group:
        group.start_soon(hear)
        group.start_soon(tell)
        await low.run(reads, writes, low.create_initialization_options())
        group.cancel_scope.cancel()


async def websocket(port: int, token: str, is_legacy: bool) -> None:
    """Serve WebSocket until killed."""

    async def connected(connection: ServerConnection) -> None:
        try:
            await talk(aiter(connection), connection.send, is_legacy=is_legacy)
        except* ConnectionClosed:
            pass  # an answer had nobody left to go to

    def judged(connection: ServerConnection, request: Request) -> Response | None:
        if request.path != "/mcp":
            return connection.respond(HTTPStatus.NOT_FOUND, "Not here\n")
        if token and request.headers.get("Authorization") != f"Bearer {token}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "No\n")
        return None

    subprotocols: Any = ["mcp"]
    async with serve(
        connected,
        "127.0.0.1",
        port,
        subprotocols=subprotocols,
        process_request=judged,
        max_size=MAX_MESSAGE_BYTES,
    ) as listener:
        print(f"listening {next(iter(listener.sockets)).getsockname()[1]}", flush=True)
        await listener.serve_forever()


class Lines:
    """One TCP connection; `auth` is answered here."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, expires_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token
        self._expires_s = expires_s
        self._ending: asyncio.TimerHandle | None = None

    async def say(self, text: str) -> None:
        self._writer.write(text.encode() + b"\n")
        await self._writer.drain()

    async def messages(self) -> AsyncIterator[str | bytes]:
        is_known = not self._token
        while line := await self._reader.readline():
            if self._token and b'"auth"' in line and (message := json.loads(line)).get("method") == "auth":
                is_known = message["params"].get("token") == self._token
                await self.say(json.dumps(self._answer(message["id"], is_known)))
                if is_known:
                    continue
            if not is_known:
                self._writer.close()
                return
            yield line

    def _answer(self, id: object, is_known: bool) -> dict[str, Any]:  # noqa: A002
        if not is_known:
            return {"jsonrpc": "2.0", "id": id, "error": {"code": 4401, "message": "No"}}
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._expires_s, self._writer.close)
        return {"jsonrpc": "2.0", "id": id, "result": {"session": "s", "expiresIn": self._expires_s}}


async def tcp(port: int, token: str, is_legacy: bool, expires_s: float) -> None:
    """Serve lines until killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = Lines(reader, writer, token, expires_s)
        try:
            await talk(lines.messages(), lines.say, is_legacy=is_legacy)
        except* ConnectionError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", port, limit=MAX_MESSAGE_BYTES)
    print(f"listening {listener.sockets[0].getsockname()[1]}", flush=True)
    await listener.serve_forever()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--websocket", type=int, metavar="PORT")
    parser.add_argument("--tcp", type=int, metavar="PORT")
    parser.add_argument("--only", choices=["legacy"], default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--expires", type=float, default=3600.0)
    options = parser.parse_args()
    is_legacy = options.only == "legacy"
    if options.tcp is not None:
        asyncio.run(tcp(options.tcp, options.token, is_legacy, options.expires))
    else:
        asyncio.run(websocket(options.websocket or 0, options.token, is_legacy))


if __name__ == "__main__":
    main()
