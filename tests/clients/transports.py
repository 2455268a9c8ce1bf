"""Transports for the Python SDK 2.x over the doors for messages: it has stdio of its own, and no WebSocket or TCP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types
from mcp.client._transport import TransportStreams
from mcp.shared._context_streams import create_context_streams
from mcp.shared.message import SessionMessage
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


@asynccontextmanager
async def _streams(
    messages: AsyncIterator[str | bytes], say: Callable[[str], Awaitable[None]]
) -> AsyncIterator[TransportStreams]:
    from_server, reads = create_context_streams[SessionMessage | Exception](0)
    writes, to_server = create_context_streams[SessionMessage](0)

    async def hear() -> None:
        async with from_server:
            async for text in messages:
                try:
                    message = mcp_types.jsonrpc_message_adapter.validate_json(text, by_name=False)
                except ValueError as error:
                    await from_server.send(error)
                else:
                    await from_server.send(SessionMessage(message))

    async def speak() -> None:
        async with to_server:
            async for item in to_server:
                await say(item.message.model_dump_json(by_alias=True, exclude_unset=True))

    async with anyio.create_task_group() as tasks, reads, writes:
        tasks.start_soon(hear)
        tasks.start_soon(speak)
        yield reads, writes
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def websocket(url: str, token: str) -> AsyncIterator[TransportStreams]:
    """MCP over a WebSocket, with the token where it belongs."""
    async with connect(
        url,
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=["mcp"],  # type: ignore[list-item]
        compression=None,
    ) as socket:

        async def messages() -> AsyncIterator[str | bytes]:
            try:
                async for message in socket:
                    yield message
            except ConnectionClosed:
                return

        async with _streams(messages(), socket.send) as streams:
            yield streams


@asynccontextmanager
async def tcp(port: int, token: str, server: str) -> AsyncIterator[TransportStreams]:
    """MCP over a line a message, after `auth`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024)

    async def say(text: str) -> None:
        writer.write(text.encode() + b"\n")
        await writer.drain()

    auth: dict[str, Any] = {"token": token, "server": server}
    await say(json.dumps({"jsonrpc": "2.0", "id": "auth", "method": "auth", "params": auth}))
    answer = json.loads(await reader.readline())
    assert "result" in answer, answer

    async def messages() -> AsyncIterator[str | bytes]:
        async for line in reader:
            yield line

    try:
        async with _streams(messages(), say) as streams:
            yield streams
    finally:
        writer.close()
