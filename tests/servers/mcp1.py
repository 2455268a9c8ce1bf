"""A server on mcp 1.x, for tests, run by a Python that has it: legacy MCP over what only that SDK still offers.

    .venv-mcp1/bin/python mcp1.py --websocket PORT (at /ws) | --sse PORT (at /sse) | --http PORT (at /mcp) | --stdio

With port 0 the system picks one; either way a line `listening PORT` goes to stdout once it accepts. `--token T` wants
it as a bearer.
"""

import argparse
import asyncio
import os
import socket
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

server = FastMCP("mcp1", instructions="Test server.", log_level="ERROR")
started: list[str] = []
cancelled: list[str] = []
finished: list[str] = []
watched: list[str] = []


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


class Answer(BaseModel):
    """What `ask` asks for."""

    name: str


@server.tool()
async def ask(ctx: Context, question: str = "Who?") -> str:
    """Elicit a name from the user."""
    answered = await ctx.elicit(question, Answer)
    return f"{answered.action}: {answered.data.name}" if answered.action == "accept" else answered.action


@server.tool()
async def sample(ctx: Context, prompt: str = "Say hi") -> str:
    """Have the client's model say something."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answered = await ctx.session.create_message([message], max_tokens=16)
    return getattr(answered.content, "text", "")


@server.tool()
async def roots(ctx: Context) -> list[str]:
    """The client's roots."""
    return [str(root.uri) for root in (await ctx.session.list_roots()).roots]


@server.tool()
async def touch(ctx: Context) -> str:
    """Tell that the resource and the list of tools changed."""
    await ctx.session.send_resource_updated("test://static/text")  # type: ignore[arg-type]
    await ctx.session.send_tool_list_changed()
    return "touched"


@server.resource("test://static/text", name="text", mime_type="text/plain")
def text() -> str:
    """A static text."""
    return "static text"


@server.prompt()
def greet(name: str) -> str:
    """Greet someone."""
    return f"Say hello to {name}."


@server._mcp_server.subscribe_resource()  # type: ignore[no-untyped-call]
async def subscribe(uri: Any) -> None:
    """Any."""
    watched.append(str(uri))


@server._mcp_server.unsubscribe_resource()  # type: ignore[no-untyped-call]
async def unsubscribe(uri: Any) -> None:
    """Any."""
    watched.remove(str(uri))


_capabilities = server._mcp_server.get_capabilities


def capabilities(*args: Any, **named: Any) -> Any:
    """What it offers. The SDK says `subscribe: false` and `listChanged: false` whatever handlers there are."""
    found = _capabilities(*args, **named)
    if found.resources is not None:
        found.resources.subscribe = True
    if found.tools is not None:
        found.tools.listChanged = True
    return found


server._mcp_server.get_capabilities = capabilities  # type: ignore[method-assign]


async def websocket(scope: Scope, receive: Any, send: Any) -> None:
    """The SDK's own WebSocket transport."""
    if scope["type"] != "websocket":
        return
    from mcp.server.websocket import websocket_server

    low = server._mcp_server
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        opened = websocket_server(scope, receive, send)
    async with opened as streams:
        await low.run(streams[0], streams[1], low.create_initialization_options())


def guarded(app: App, token: str) -> App:
    """Refuse whoever has no token."""

    async def judged(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if token and given != b"Bearer " + token.encode():
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                    return
                await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return judged


async def serve(port: int, app: App, token: str) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        guarded(app, token), log_level="critical", timeout_graceful_shutdown=1, ws="websockets-sansio"
    )
    http = uvicorn.Server(config)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    while not http.started:
        await asyncio.sleep(0.01)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    await serving


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--websocket", type=int, metavar="PORT")
    parser.add_argument("--sse", type=int, metavar="PORT")
    parser.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    if options.stdio:
        server.run("stdio")
    elif options.websocket is not None:
        asyncio.run(serve(options.websocket, websocket, options.token))
    elif options.sse is not None:
        asyncio.run(serve(options.sse, server.sse_app(), options.token))
    else:
        asyncio.run(serve(options.http or 0, server.streamable_http_app(), options.token))


if __name__ == "__main__":
    main()
