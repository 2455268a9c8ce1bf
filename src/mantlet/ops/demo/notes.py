"""A small MCP server over HTTP, on the official SDK: `python -m mantlet.ops.demo.notes`.

It picks a free loopback port, says it in a line on stdout, and lives as long as its standard input stays open: the
kernel closes that with its parent, however the parent ends.
"""

import asyncio
import os
import socket
import sys
import threading
from typing import Final

import uvicorn
from mcp.server.mcpserver import MCPServer

MAX_NOTES: Final = 100
"""The oldest note goes when another comes."""

server = MCPServer("notes", version="1.0.0", instructions="Keeps notes and adds numbers.", log_level="WARNING")
notes: list[str] = []


@server.tool()
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@server.tool()
def write_note(text: str) -> str:
    """Keep a note, for as long as the demo runs."""
    notes.append(text)
    del notes[:-MAX_NOTES]
    return f"{len(notes)} kept"


@server.tool()
def read_notes() -> list[str]:
    """Give all notes back, the oldest first."""
    return list(notes)


def main() -> None:
    """Serve until standard input closes."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(server.streamable_http_app(host="127.0.0.1"), log_level="warning", lifespan="on")
    print(port, flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 512):
        pass
    os._exit(0)  # nothing to put in order: notes live in memory


if __name__ == "__main__":
    main()
