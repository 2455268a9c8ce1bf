"""A modern server on mcp 2.x that insists on `Mcp-Param-*`: `mirrored.py --http PORT`, one tool `where`."""

import argparse
import asyncio
import socket
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import Field

server = MCPServer("mirrored", version="1.0.0", log_level="ERROR")


@server.tool()
def where(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    row: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Row"})] = 0,
    dry: Annotated[bool, Field(json_schema_extra={"x-mcp-header": "Dry"})] = False,
) -> str:
    """Say where."""
    return f"{region} {row} {dry}"


async def serve(port: int) -> None:
    """Serve streamable HTTP at /mcp on 127.0.0.1 until SIGTERM."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1, ws="none")
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", type=int, metavar="PORT", required=True)
    asyncio.run(serve(parser.parse_args().http))
