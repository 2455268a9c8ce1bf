"""`mantlet demo --once`: the calls that a user would make, with the official client, and a word about each."""

from collections.abc import Callable
from typing import Final

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from mantlet.ops.demo.guide import ARGUMENTS, TOOL
from mantlet.ops.demo.opened import TOOLS
from mantlet.ops.demo.plan import Plan

Say = Callable[[str], None]

FORBIDDEN: Final = "add"
"""A tool that the visitor may not call."""


class TourFailed(Exception):
    """Something was not as it should be."""


async def tour(plan: Plan, say: Say) -> str:
    """Make the calls; gives the request id of the refused one. Raises `TourFailed`, or what the client raises."""
    async with (
        _client(plan.url, plan.admin_key) as http,
        Client(streamable_http_client(plan.url, http_client=http)) as client,
    ):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        if missing := TOOLS - tools:
            raise TourFailed(f"tools/list lacks {', '.join(sorted(missing))}")
        say(f"tools/list as admin, both servers as one: {', '.join(sorted(tools))}")
        say(f"tools/call {TOOL} (stdio server): {_text(await client.call_tool(TOOL, ARGUMENTS))}")
        total = _text(await client.call_tool(FORBIDDEN, {"a": 19, "b": 23}))
        say(f"tools/call add 19 23 (HTTP server): {total}")
        if float(total) != 42:
            raise TourFailed(f"add gave {total}")
    return await _refused(plan, say)


async def _refused(plan: Plan, say: Say) -> str:
    async with (
        _client(plan.url, plan.visitor_key) as http,
        Client(streamable_http_client(plan.url, http_client=http)) as client,
    ):
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        if tools != [TOOL]:
            raise TourFailed(f"the visitor was shown {', '.join(tools) or 'nothing'} instead of {TOOL}")
        say(f"tools/list as visitor: {TOOL}, and nothing else")
        try:
            await client.call_tool(FORBIDDEN, {"a": 1, "b": 1})
        except MCPError as error:
            return _judged(error, say)
    raise TourFailed(f"{FORBIDDEN} was not refused to the visitor")


def _judged(error: MCPError, say: Say) -> str:
    data = error.error.data if isinstance(error.error.data, dict) else {}
    if data.get("reason") != "denied":
        raise TourFailed(f"the visitor was refused for another reason: {error}")
    say(f"tools/call {FORBIDDEN} as visitor: refused, {data['reason']} ({error.error.code})")
    return str(data["request_id"])


def _client(url: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30)


def _text(result: object) -> str:
    content = getattr(result, "content", [])
    text = " ".join(part.text for part in content if hasattr(part, "text"))
    if getattr(result, "is_error", False) or not text:
        raise TourFailed(f"a tool failed: {text or result}")
    return " ".join(text.split())
