"""A small real MCP server, on the SDK, for tests: `everything.py --http PORT` or `--stdio`.

With `--http 0` the system picks the port; either way one line `listening PORT` goes to stdout once it accepts.
`--json` answers with JSON where it can, `--only modern|legacy` refuses the other era as a server that never heard of
it does.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("everything", version="1.0.0", instructions="Test server.", log_level="ERROR")

started: list[str] = []
cancelled: list[str] = []
finished: list[str] = []


@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool()
def echo(message: str) -> str:
    """Give the message back."""
    return message


@server.tool()
async def slow(seconds: float = 30.0, tag: str = "") -> str:
    """Take a while. `witness` tells what became of it."""
    started.append(tag)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled.append(tag)
        raise
    finished.append(tag)
    return f"slept {seconds:g}"


@server.tool()
def witness() -> dict[str, list[str]]:
    """Which tags of `slow` started, were cancelled, finished."""
    return {"started": started, "cancelled": cancelled, "finished": finished}


@server.tool()
async def progress(ctx: Context, steps: int = 3, delay_s: float = 0.0) -> str:
    """Report progress `steps` times, then answer."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps, f"step {step}")
        await asyncio.sleep(delay_s)
    return f"{steps} steps"


@server.tool()
def env(name: str = "") -> dict[str, str]:
    """The process's environment, or one variable of it."""
    return {key: value for key, value in os.environ.items() if not name or key == name}


@server.tool()
def process() -> dict[str, Any]:
    """Who runs: pid, process group, session id, working directory, argv."""
    return {"pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0), "cwd": str(Path.cwd()), "argv": sys.argv}


@server.tool()
def headers(ctx: Context) -> dict[str, str]:
    """The HTTP headers of this call; empty over stdio."""
    return dict(ctx.headers or {})


@server.tool()
def large(size: int = 100_000) -> str:
    """Text of `size` characters."""
    return "x" * size


@server.tool()
def fail(message: str = "on purpose") -> str:
    """Raise an error."""
    raise ValueError(message)


@server.tool()
def crash(code: int = 3) -> str:
    """End the process at once, without an answer."""
    os._exit(code)


@server.tool()
def complain(text: str = "something") -> str:
    """Write to stderr."""
    print(text, file=sys.stderr, flush=True)
    return "complained"


@server.resource("test://static/text", name="text", mime_type="text/plain")
def text() -> str:
    """A static text."""
    return "static text"


@server.prompt()
def greet(name: str) -> str:
    """Greet someone."""
    return f"Say hello to {name}."


Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


def only(era: str, app: App) -> App:
    """Refuse the other era: a legacy server does not know the version, a modern one wants it in the header."""

    async def guarded(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            version = dict(scope["headers"]).get(b"mcp-protocol-version", b"")
            if (version >= b"2026") != (era == "modern"):
                body = b"Bad Request: Unsupported protocol version"
                head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
                await send({"type": "http.response.start", "status": 400, "headers": head})
                await send({"type": "http.response.body", "body": body})
                return
        await app(scope, receive, send)

    return guarded


async def serve(port: int, only_era: str, is_json: bool) -> None:
    """Serve streamable HTTP at /mcp on 127.0.0.1 until SIGTERM."""
    app: App = server.streamable_http_app(json_response=is_json)
    if only_era:
        app = only(only_era, app)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    http = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, ws="none"))
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    while not http.started:
        await asyncio.sleep(0.01)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    await serving


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["modern", "legacy"], default="")
    options = parser.parse_args()
    if options.http is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        server.run("stdio")
    else:
        asyncio.run(serve(options.http, options.only, options.json))


if __name__ == "__main__":
    main()
