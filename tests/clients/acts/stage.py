"""What every Python driver has in common: the acts, each on its own and under a deadline, and the report of them.

`MCP_SUBJECT` is the URI of a resource and `MCP_CHANGE` the tool that changes it. One line of JSON at the end tells of
each act whether it was as it should be, and what was seen.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

ACTS = ("list", "call", "progress", "error", "elicitation", "sampling", "subscription", "cancellation")
ACT_TIMEOUT_S = 15.0
CANCEL_TIMEOUT_S = 5.0
SUBJECT = os.environ.get("MCP_SUBJECT", "")
CHANGE = os.environ.get("MCP_CHANGE", "")
TOKEN = os.environ.get("MCP_TOKEN", "")
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
URL = os.environ.get("MCP_URL", "")
MODE = os.environ.get("MCP_MODE", "auto")

Call = Callable[..., Awaitable[Any]]


def text_of(result: Any) -> str:
    """The text of a tool's result."""
    return " ".join(getattr(item, "text", "") for item in result.content)


async def perform(acts: dict[str, Callable[[], Awaitable[tuple[bool, str]]]]) -> dict[str, Any]:
    """Run each act to its end, its error or its deadline."""
    seen: dict[str, Any] = {}
    for name, act in acts.items():
        try:
            async with asyncio.timeout(ACT_TIMEOUT_S):
                well, said = await act()
        except TimeoutError:
            well, said = False, "HANGS"
        except BaseException as error:  # groups of the SDKs' own
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise
            well, said = False, f"{type(error).__name__}: {_innermost(error)}"
        seen[name] = {"well": well, "said": said[:500]}
    return seen


async def cancelled(call: Call, tag: str) -> tuple[bool, str]:
    """Start `slow`, cancel it, and see that the server heard of it."""
    running = asyncio.ensure_future(call("slow", {"seconds": 30, "tag": tag}))
    async with asyncio.timeout(ACT_TIMEOUT_S - CANCEL_TIMEOUT_S):
        while tag not in await witness(call, "started"):
            if running.done():
                return False, f"ended by itself: {running.exception() or text_of(running.result())}"
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait({running})
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            while tag not in await witness(call, "cancelled"):
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False, "the server never heard of it"
    return True, "the server heard of it"


async def witness(call: Call, what: str) -> list[str]:
    """The tags that the server noted."""
    found: list[str] = json.loads(text_of(await call("witness", {})))[what]
    return found


def report(acts: dict[str, Any], version: str) -> None:
    """Say it all."""
    print(json.dumps({"acts": acts, "version": version}), flush=True)


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
