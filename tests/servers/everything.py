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
from typing import Annotated, Any

import uvicorn
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp_types import (
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

server = MCPServer("everything", version="1.0.0", instructions="Test server.", log_level="ERROR")

started: list[str] = []
cancelled: list[str] = []
finished: list[str] = []
counter = 0


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
    raise ToolError(message)  # of any other exception the SDK keeps the text to itself


@server.tool()
def crash(code: int = 3) -> str:
    """End the process at once, without an answer."""
    os._exit(code)


@server.tool()
def complain(text: str = "something") -> str:
    """Write to stderr."""
    print(text, file=sys.stderr, flush=True)
    return "complained"


class Name(BaseModel):
    """What `ask` wants to know."""

    name: str


Asked = ElicitationResult[Name]


def _said(answer: Asked) -> str:
    return f"accept: {answer.data.name}" if isinstance(answer, AcceptedElicitation) else answer.action


async def _question(question: str) -> Elicit[Name]:
    return Elicit(question, Name)


async def _first() -> Elicit[Name]:
    return Elicit("First name?", Name)


async def _second(first: Annotated[Name, Resolve(_first)]) -> Elicit[Name]:
    return Elicit(f"Second name after {first.name}?", Name)


async def _other() -> Elicit[Name]:
    return Elicit("Another name?", Name)


async def _prompt(prompt: str) -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text=prompt))], max_tokens=50)


async def _roots() -> ListRoots:
    return ListRoots()


@server.tool()
async def ask(answer: Annotated[Asked, Resolve(_question)], question: str = "Your name?") -> str:
    """Ask the person who uses the client."""
    return _said(answer)


@server.tool()
async def ask_twice(
    ctx: Context, first: Annotated[Name, Resolve(_first)], second: Annotated[Name, Resolve(_second)]
) -> str:
    """Ask, then ask again with what was said: two rounds."""
    await ctx.report_progress(1, 1, "both")
    return f"{first.name} {second.name}"


@server.tool()
async def ask_both(one: Annotated[Name, Resolve(_first)], other: Annotated[Name, Resolve(_other)]) -> str:
    """Ask two things at once."""
    return f"{one.name} {other.name}"


@server.tool()
async def visit(ctx: Context, url: str = "https://example.com/consent") -> str | InputRequiredResult:
    """Send the person to a page."""
    answer = (ctx.input_responses or {}).get("visit")
    if isinstance(answer, ElicitResult):
        return answer.action
    page = ElicitRequest(params=ElicitRequestURLParams(mode="url", message="Please consent.", url=url))
    return InputRequiredResult(input_requests={"visit": page})


@server.tool()
async def poll(ctx: Context) -> str | InputRequiredResult:
    """Want to be called three times before it answers, without asking anything."""
    times = int(ctx.request_state or "0")
    return "done" if times >= 2 else InputRequiredResult(request_state=str(times + 1))


@server.tool()
async def sample(said: Annotated[CreateMessageResult, Resolve(_prompt)], prompt: str = "Capital of France?") -> str:
    """Ask the client's model."""
    return f"{said.model}: {said.content.text if isinstance(said.content, TextContent) else said.content}"


@server.tool()
async def roots(found: Annotated[ListRootsResult, Resolve(_roots)]) -> list[str]:
    """Ask for the client's roots."""
    return [str(root.uri) for root in found.roots]


@server.tool()
async def log(ctx: Context, level: str = "info", text: str = "hello") -> str:
    """Send one log message."""
    await ctx.session.send_log_message(level, text, related_request_id=ctx.request_id)  # type: ignore[arg-type]
    return "logged"


@server.tool()
def deploy(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], ctx: Context) -> str:
    """An argument that is mirrored in a header."""
    return f"{region}: {(ctx.headers or {}).get('mcp-param-region')}"


@server.resource("test://counter", name="counter", mime_type="text/plain")
def count() -> str:
    """A number that `change` changes."""
    return str(counter)


@server.tool()
async def change(ctx: Context, uri: str = "test://counter") -> int:
    """Change a resource, and tell all who subscribed to it."""
    global counter
    counter += 1
    await ctx.notify_resource_updated(uri)
    return counter


@server.tool()
async def grow(ctx: Context, name: str = "grown") -> str:
    """Add a tool, and tell all who listen."""
    server.add_tool(lambda: "grown", name=name, description="Added later.")
    await ctx.notify_tools_changed()
    return name


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
