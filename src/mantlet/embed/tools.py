"""For servers written with the `mcp` SDK or FastMCP: limits and breakers for their tools, as middleware."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from mantlet.core.caller import Caller
from mantlet.core.refusal import BreakerOpen, RateLimited, Refusal
from mantlet.embed.circuit_breaker import CircuitBreaker, CircuitOpen
from mantlet.embed.rate_limiter import RateLimiter
from mantlet.wire.answer import WIRE

CALLER: Final = "mantlet.caller"
ANYBODY: Final = "anybody"
_CALL: Final = "tools/call"

Who = Callable[[Any], str]
"""The client of a request, as the framework's context has it: what its limits are counted under."""


class ToolGuard:
    """`mcp.server.Server.middleware.append(guard)`, `MCPServer(middleware=[guard])` or `FastMCP(middleware=[guard])`.

    `limiter` counts each call of a tool, by client; `limiters` are further ones for single tools, by name, taken after
    it. A tool in `breakers` is left alone while its breaker is open. What is refused is answered with the JSON-RPC
    error that the gateway would give, `retry_after` in its data. `who` tells clients apart: by default as
    `MantletMiddleware` recognised them, or the server's own access token did, and all others as one.
    """

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        *,
        limiters: Mapping[str, RateLimiter] | None = None,
        breakers: Mapping[str, CircuitBreaker] | None = None,
        who: Who | None = None,
    ) -> None:
        self._limiter = limiter
        self._limiters = dict(limiters or {})
        self._breakers = dict(breakers or {})
        self._who = who or client_of

    async def __call__(self, context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """One message, as both frameworks give it."""
        tool = _tool_of(context)
        if tool is None:
            return await call_next(context)
        for limiter in (self._limiter, self._limiters.get(tool)):
            if limiter is not None:
                allowed, info = await limiter.check_rate_limit(self._who(context))
                if not allowed:
                    raise _error(RateLimited, "Rate limit exceeded", info)
        breaker = self._breakers.get(tool)
        if breaker is None:
            return await call_next(context)
        try:
            with breaker.attempt():
                result = await call_next(context)
                if _is_failure(result):
                    raise _Failed(result)
                return result
        except _Failed as failed:
            return failed.result
        except CircuitOpen as error:
            info = {"retry_after": max(1, round(error.retry_after_s))}
            raise _error(BreakerOpen, f"{tool} failed too often lately", info) from error


class _Failed(Exception):
    """A result that says of itself that it is none."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


def client_of(context: Any) -> str:
    """The caller that `MantletMiddleware` recognised, else the client of the server's own token, else anybody."""
    request = getattr(context, "request", None)
    if request is None and getattr(context, "fastmcp_context", None) is not None:
        from fastmcp.server.dependencies import get_http_request

        try:
            request = get_http_request()
        except RuntimeError:  # not by HTTP
            request = None
    caller = request.scope.get(CALLER) if request is not None else None
    if isinstance(caller, Caller):
        return "/".join(quote(part, safe="") for part in caller.key)  # an issuer's slashes are no separators
    from mcp.server.auth.middleware.auth_context import get_access_token

    token = get_access_token()
    return ANYBODY if token is None else f"client/{token.client_id}"


def _tool_of(context: Any) -> str | None:
    if context.method != _CALL:
        return None
    params = getattr(context, "params", None)
    if isinstance(params, Mapping):  # the SDK's: as it came
        name = params.get("name")
        return name if isinstance(name, str) else None
    return getattr(getattr(context, "message", None), "name", None)


def _is_failure(result: Any) -> bool:
    if isinstance(result, Mapping):
        return result.get("isError") is True
    return getattr(result, "is_error", None) is True or getattr(result, "isError", None) is True


def _error(kind: type[Refusal], message: str, data: Mapping[str, Any]) -> Exception:
    from mcp.shared.exceptions import MCPError

    return MCPError(WIRE[kind].mcp, message, dict(data))
