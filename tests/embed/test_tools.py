"""`ToolGuard` as both frameworks call it. That real servers take it shows docs/library.md, whose example runs."""

from types import SimpleNamespace
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from mantlet.core.caller import Caller
from mantlet.embed import CircuitBreaker, RateLimiter, ToolGuard
from mantlet.embed.tools import CALLER


def asked(tool: str = "plan", method: str = "tools/call", caller: Caller | None = None) -> Any:
    scope = {} if caller is None else {CALLER: caller}
    return SimpleNamespace(method=method, params={"name": tool}, request=SimpleNamespace(scope=scope))


class Server:
    def __init__(self, end: Any = None) -> None:
        self.end, self.calls = end or {"content": []}, 0

    async def __call__(self, context: Any) -> Any:
        self.calls += 1
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


async def test_what_is_no_call_of_a_tool_is_not_counted() -> None:
    server, guard = Server(), ToolGuard(RateLimiter(client_max_requests=1))
    for method in ("tools/list", "ping", "tools/list"):
        await guard(asked(method=method), server)
    await guard(asked(), server)
    with pytest.raises(MCPError) as refused:
        await guard(asked(), server)
    assert (refused.value.error.code, server.calls) == (4429, 4)
    assert refused.value.error.data["retry_after"] >= 1


async def test_callers_are_counted_apart_whatever_slashes_their_names_hold() -> None:
    """RATE-02"""
    guard, server = ToolGuard(RateLimiter(client_max_requests=1)), Server()
    callers = [
        Caller("c/d", "https://b", "jwt"),
        Caller("d", "https://b/c", "jwt"),
        Caller("d", "b", "jwt", tenant="c"),
    ]
    for caller in callers:
        await guard(asked(caller=caller), server)
    for caller in callers:
        with pytest.raises(MCPError):
            await guard(asked(caller=caller), server)


@pytest.mark.parametrize(
    "end", [{"isError": True, "content": []}, SimpleNamespace(is_error=True), ConnectionError("x")]
)
async def test_a_tool_that_fails_is_left_alone(end: Any) -> None:
    """RES-01, RES-02: what a tool says of itself counts as what it raises."""
    server = Server(end)
    guard = ToolGuard(breakers={"plan": CircuitBreaker("plan", failures=2)})
    for _ in range(2):
        if isinstance(end, Exception):
            with pytest.raises(ConnectionError):
                await guard(asked(), server)
        else:
            assert await guard(asked(), server) is end
    with pytest.raises(MCPError) as refused:
        await guard(asked(), server)
    assert (refused.value.error.code, server.calls) == (4503, 2)
    server.end = {"content": []}
    await guard(asked("another"), server)
