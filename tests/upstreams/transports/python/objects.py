"""Servers of every kind, good and bad, for the tests of in-process servers."""

import asyncio
import sys
import time
from typing import Any

from fastmcp import FastMCP
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

entered: list[str] = []


def _fill(server: Any) -> Any:
    @server.tool()
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @server.tool()
    async def leave(code: int = 3) -> str:
        """End what runs this."""
        sys.exit(code)

    @server.tool()
    async def block(seconds: float) -> str:
        """Let nothing else run."""
        time.sleep(seconds)
        return "blocked"

    @server.tool()
    async def hold() -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return ""

    @server.tool()
    async def noisy(ctx: Any = None) -> str:
        """Nothing."""
        return "x" * 5000

    return server


sdk = _fill(MCPServer("sdk", log_level="CRITICAL"))


def make_sdk() -> MCPServer:
    entered.append("made")
    return _fill(MCPServer("made", log_level="CRITICAL"))


async def make_later() -> MCPServer:
    await asyncio.sleep(0)
    return make_sdk()


def make_fast() -> FastMCP:
    return _fill(FastMCP("fast"))


fast = make_fast()


async def _list(_context: Any, _params: Any) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="add", input_schema={"type": "object"})])


async def _call(_context: Any, params: Any) -> CallToolResult:
    text = str(params.arguments["a"] + params.arguments["b"])
    return CallToolResult(content=[TextContent(type="text", text=text)])


low = Server("low", on_list_tools=_list, on_call_tool=_call)


class Holder:
    server = sdk


def make_nothing() -> None:
    return None


def make_failing() -> MCPServer:
    raise RuntimeError("no database")


async def make_exiting() -> MCPServer:
    sys.exit(4)


number = 7


class Ending:
    """Looks like a server, and ends at once."""

    def create_initialization_options(self) -> None:
        return None

    async def run(self, _reads: Any, _writes: Any, _options: Any) -> None:
        return None


ending = Ending()
