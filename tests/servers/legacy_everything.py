"""A real legacy MCP server on the SDK of that time (mcp 1.x, its own venv), for tests.

`legacy_everything.py --http PORT`, `--stdio`; with `--http 0` the system picks the port, and one line `listening PORT`
goes to stdout once it accepts. `--json` answers with JSON where it can, `--stateless` keeps no sessions.

Tools: `add`, `echo`, `progress`, `log`, `fail`, `ask` (elicitation, form), `ask_twice`, `ask_both` (two at once),
`visit` (elicitation, URL), `must_visit` (the -32042 error), `sample`, `roots` (asked outside the call's own stream),
`slow` (cancellable; `witness` tells), `sessions`, `change` (a resource), `grow` (the list of tools), `forget_me`.
Resources: `test://static/text`, `test://counter` (subscribable). Prompt: `greet`.
"""

import argparse
import asyncio
import signal
import socket
import sys
from typing import Any

import uvicorn
from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.shared.exceptions import UrlElicitationRequiredError
from pydantic import AnyUrl, BaseModel

started: list[str] = []
cancelled: list[str] = []
finished: list[str] = []
seen: set[str] = set()
counter = 0
subscribed: dict[str, set[Any]] = {}
levels: list[str] = []


class Name(BaseModel):
    """What `ask` wants to know."""

    name: str


def make(*, is_json: bool, is_stateless: bool) -> FastMCP:
    """The server with all it offers."""
    server = FastMCP(
        "legacy-everything",
        instructions="Legacy test server.",
        log_level="ERROR",
        json_response=is_json,
        stateless_http=is_stateless,
    )
    _plain(server)
    _asking(server)
    _changing(server)
    return server


def _plain(server: FastMCP) -> None:
    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two integers."""
        return a + b

    @server.tool()
    def echo(message: str) -> str:
        """Give the message back."""
        return message

    @server.tool()
    async def progress(ctx: Context, steps: int = 3, delay_s: float = 0.0) -> str:  # type: ignore[type-arg]
        """Report progress `steps` times, then answer."""
        for step in range(1, steps + 1):
            await ctx.report_progress(step, steps, f"step {step}")
            await asyncio.sleep(delay_s)
        return f"{steps} steps"

    @server.tool()
    async def log(ctx: Context, level: str = "info", text: str = "hello") -> str:  # type: ignore[type-arg]
        """Send one log message."""
        await ctx.log(level, text)  # type: ignore[arg-type]
        return ",".join(levels)

    @server.tool()
    def fail(message: str = "on purpose") -> str:
        """Raise an error."""
        raise ValueError(message)

    @server.tool()
    async def slow(seconds: float = 30.0, tag: str = "") -> str:
        """Take a while. `witness` tells what became of it."""
        started.append(tag)
        try:
            await asyncio.sleep(seconds)
        except BaseException:
            cancelled.append(tag)
            raise
        finished.append(tag)
        return f"slept {seconds:g}"

    @server.tool()
    def witness() -> dict[str, list[str]]:
        """Which tags of `slow` started, were cancelled, finished."""
        return {"started": started, "cancelled": cancelled, "finished": finished}

    @server.tool()
    def large(size: int = 100_000) -> str:
        """Text of `size` characters."""
        return "x" * size

    @server.tool()
    def sessions(ctx: Context) -> dict[str, Any]:  # type: ignore[type-arg]
        """The session of this call, and all that called this tool."""
        request = ctx.request_context.request
        mine = request.headers.get("mcp-session-id", "") if request is not None else ""
        seen.add(mine)
        parameters = ctx.session.client_params
        return {
            "mine": mine,
            "seen": sorted(seen),
            "client": parameters.model_dump(mode="json", exclude_none=True) if parameters else None,
            "headers": dict(request.headers) if request is not None else {},
            "meta": ctx.request_context.meta.model_dump(exclude_none=True) if ctx.request_context.meta else None,
        }

    @server.resource("test://static/text", name="text", mime_type="text/plain")
    def text() -> str:
        """A static text."""
        return "static text"

    @server.prompt()
    def greet(name: str) -> str:
        """Greet someone."""
        return f"Say hello to {name}."

    @server._mcp_server.set_logging_level()
    async def set_level(level: types.LoggingLevel) -> None:
        levels.append(level)


def _asking(server: FastMCP) -> None:
    @server.tool()
    async def ask(ctx: Context, question: str = "Your name?") -> str:  # type: ignore[type-arg]
        """Ask the person who uses the client."""
        answer = await ctx.elicit(question, Name)
        return f"{answer.action}: {answer.data.name}" if answer.action == "accept" else answer.action

    @server.tool()
    async def ask_twice(ctx: Context) -> str:  # type: ignore[type-arg]
        """Ask, report progress, ask again."""
        first = await ctx.elicit("First name?", Name)
        await ctx.report_progress(1, 2, "half way")
        second = await ctx.elicit("Second name?", Name)
        names = [answer.data.name for answer in (first, second) if answer.action == "accept"]
        return " ".join(names)

    @server.tool()
    async def ask_both(ctx: Context) -> str:  # type: ignore[type-arg]
        """Ask two things at once."""
        answers = await asyncio.gather(ctx.elicit("One?", Name), ctx.elicit("Two?", Name))
        return " ".join(answer.data.name for answer in answers if answer.action == "accept")

    @server.tool()
    async def visit(ctx: Context, url: str = "https://example.com/consent") -> str:  # type: ignore[type-arg]
        """Send the person to a page."""
        answer = await ctx.elicit_url("Please consent.", url, "visit-1")
        return answer.action

    @server.tool()
    async def must_visit(ctx: Context, after: int = 1) -> str:  # type: ignore[type-arg]
        """Refuse with -32042 the first `after` times in a session."""
        key = str(id(ctx.session))
        started.append(f"must_visit {key}")
        if started.count(f"must_visit {key}") <= after:
            page = types.ElicitRequestURLParams(
                mode="url", message="Connect first.", url="https://example.com/connect", elicitationId="c-1"
            )
            raise UrlElicitationRequiredError([page])
        return "connected"

    @server.tool()
    async def sample(ctx: Context, prompt: str = "Capital of France?") -> str:  # type: ignore[type-arg]
        """Ask the client's model."""
        said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
        result = await ctx.session.create_message([said], max_tokens=50, related_request_id=ctx.request_id)
        content = result.content
        return f"{result.model}: {content.text if isinstance(content, types.TextContent) else content}"

    @server.tool()
    async def roots(ctx: Context) -> list[str]:  # type: ignore[type-arg]
        """Ask for the client's roots. The SDK sends that on the session's own stream, not the call's."""
        result = await ctx.session.list_roots()
        return [str(root.uri) for root in result.roots]


def _changing(server: FastMCP) -> None:
    @server.resource("test://counter", name="counter", mime_type="text/plain")
    def count() -> str:
        """A number that `change` changes."""
        return str(counter)

    @server.tool()
    async def change(uri: str = "test://counter") -> int:
        """Change a resource, and tell all who subscribed to it."""
        global counter
        counter += 1
        for session in list(subscribed.get(uri, ())):
            await session.send_resource_updated(AnyUrl(uri))
        return len(subscribed.get(uri, ()))

    @server.tool()
    async def grow(ctx: Context, name: str = "grown") -> str:  # type: ignore[type-arg]
        """Add a tool, and tell this session."""
        server.add_tool(lambda: "grown", name=name, description="Added later.")
        await ctx.session.send_tool_list_changed()
        return name

    @server.tool()
    def subscriptions() -> dict[str, int]:
        """How many sessions subscribed to each resource."""
        return {uri: len(sessions) for uri, sessions in subscribed.items() if sessions}

    @server._mcp_server.subscribe_resource()
    async def subscribe(uri: AnyUrl) -> None:
        subscribed.setdefault(str(uri), set()).add(server._mcp_server.request_context.session)

    @server._mcp_server.unsubscribe_resource()
    async def unsubscribe(uri: AnyUrl) -> None:
        subscribed.get(str(uri), set()).discard(server._mcp_server.request_context.session)

    inner = server._mcp_server.get_capabilities

    def capabilities(*args: Any, **named: Any) -> types.ServerCapabilities:
        # The SDK says `subscribe: false` and `listChanged: false` whatever handlers there are.
        found = inner(*args, **named)
        if found.resources is not None:
            found.resources.subscribe = True
        if found.tools is not None:
            found.tools.listChanged = True
        return found

    server._mcp_server.get_capabilities = capabilities  # type: ignore[method-assign]


async def serve(server: FastMCP, port: int) -> None:
    """Serve streamable HTTP at /mcp on 127.0.0.1 until SIGTERM."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    app = server.streamable_http_app()
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
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    server = make(is_json=options.json, is_stateless=options.stateless)
    if options.http is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        server.run("stdio")
        sys.exit(0)
    asyncio.run(serve(server, options.http))


if __name__ == "__main__":
    main()
