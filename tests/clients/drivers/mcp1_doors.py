"""Python SDK 1.30 over the doors for messages. `MCP_DOOR`: websocket, sse or stdio (then `MCP_COMMAND` is JSON)."""

import asyncio
import json
import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage
from mcp.types import CreateMessageResult, ElicitResult, JSONRPCMessage, TextContent
from websockets.asyncio.client import connect

HEADERS = {"Authorization": f"Bearer {os.environ.get('MCP_TOKEN', '')}"}


@asynccontextmanager
async def websocket(url: str) -> Any:
    """As the SDK's own, which cannot send a header."""
    to_session, read = anyio.create_memory_object_stream(0)
    write, from_session = anyio.create_memory_object_stream(0)
    async with connect(url, additional_headers=HEADERS, subprotocols=["mcp"]) as socket:

        async def hear() -> None:
            async with to_session:
                async for text in socket:
                    await to_session.send(SessionMessage(JSONRPCMessage.model_validate_json(text)))

        async def speak() -> None:
            async with from_session:
                async for item in from_session:
                    await socket.send(item.message.model_dump_json(by_alias=True, exclude_none=True))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hear)
            tasks.start_soon(speak)
            yield read, write
            tasks.cancel_scope.cancel()


def transport() -> AbstractAsyncContextManager[Any]:
    match os.environ["MCP_DOOR"]:
        case "websocket":
            return websocket(os.environ["MCP_URL"])
        case "sse":
            return sse_client(os.environ["MCP_URL"], headers=HEADERS)
        case _:
            command, *args = json.loads(os.environ["MCP_COMMAND"])
            return stdio_client(StdioServerParameters(command=command, args=args))


async def elicit(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context: Any, params: Any) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", model="m", content=TextContent(type="text", text="Paris"))


async def main() -> None:
    async with (
        transport() as (read, write),
        ClientSession(read, write, elicitation_callback=elicit, sampling_callback=sample) as session,
    ):
        began = await session.initialize()
        heard: list[float] = []

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)

        async def text(name: str, **arguments: Any) -> str:
            return (await session.call_tool(name, arguments)).content[0].text

        await session.call_tool("progress", {"steps": 3}, progress_callback=progressed)
        await session.send_ping()
        print(
            json.dumps(
                {
                    "version": began.protocolVersion,
                    "tools": [tool.name for tool in (await session.list_tools()).tools],
                    "echo": await text("echo", message="hé"),
                    "fail": (await session.call_tool("fail", {})).isError,
                    "progress": heard,
                    "ask": await text("ask"),
                    "sample": await text("sample"),
                }
            )
        )


asyncio.run(main())
