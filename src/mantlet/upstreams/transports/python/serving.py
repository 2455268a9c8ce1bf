"""A server of the SDK run on lines: the one place outside `ops` that knows the `mcp` library, and imports it late."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from mantlet.upstreams.transports.python.loading import lowlevel

Say = Callable[[bytes], Awaitable[None]]


def check_sdk() -> None:
    """Raise `ValueError` when the library is not there."""
    try:
        import mcp.shared.memory  # noqa: F401
    except ImportError as error:
        raise ValueError("transport: python needs the `mcp` library, version 1 or 2") from error


async def serve(server: Any, lines: AsyncIterator[bytes], say: Say) -> None:
    """Run `server` on `lines` and `say` what it answers, each without a line end, until it ends or is cancelled."""
    from mcp.shared.memory import create_client_server_memory_streams

    low = lowlevel(server)
    if low is None:
        raise TypeError(f"{type(server).__name__} is no MCP server")
    # FastMCP's own lifespan, which its providers and its dependencies live in. The SDK's is entered by `run`.
    lifespan = getattr(server, "_lifespan_manager", nullcontext)
    async with (
        create_client_server_memory_streams() as ((from_server, to_server), (reads, writes)),
        lifespan(),
        asyncio.TaskGroup() as group,
    ):
        ends = [group.create_task(_hear(lines, to_server)), group.create_task(_tell(from_server, say))]
        await low.run(reads, writes, low.create_initialization_options())
        for end in ends:
            end.cancel()


async def _hear(lines: AsyncIterator[bytes], to_server: Any) -> None:
    from mcp.shared.message import SessionMessage

    read = _reader()
    async for line in lines:
        message: SessionMessage | Exception
        try:
            message = SessionMessage(read(line))
        except ValueError as error:  # pydantic's, too
            message = error
        await to_server.send(message)


async def _tell(from_server: Any, say: Say) -> None:
    style: dict[str, Any] = {"exclude_unset": True} if _is_second() else {"exclude_none": True}
    async for message in from_server:
        await say(message.message.model_dump_json(by_alias=True, **style).encode())


def _is_second() -> bool:
    import mcp

    return hasattr(mcp, "MCPError")


def _reader() -> Callable[[bytes], Any]:
    if _is_second():
        from mcp_types import jsonrpc_message_adapter

        return lambda line: jsonrpc_message_adapter.validate_json(line, by_name=False)
    import mcp.types

    first: Any = mcp.types  # a model here, a union in the SDK that is installed for type checking
    read: Callable[[bytes], Any] = first.JSONRPCMessage.model_validate_json
    return read
