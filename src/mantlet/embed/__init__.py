"""Mantlet as a library: what the gateway is made of, for other programs (docs/library.md), and for programs behind a
node what it tells them of their callers (docs/forwarding.md).

Every name is imported when it is first used: who limits rates loads no web server, and no cryptography.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mantlet.embed.agent_client import SecureAgentClient
    from mantlet.embed.asgi import ForwardedIdentity
    from mantlet.embed.audit_trail import AuditTrail
    from mantlet.embed.cache import Cache, ComputeFailed
    from mantlet.embed.circuit_breaker import CircuitBreaker, CircuitOpen
    from mantlet.embed.gateway import MantletMiddleware
    from mantlet.embed.identity_provider import IdentityProvider
    from mantlet.embed.node import Node, open_forwarded
    from mantlet.embed.rate_limiter import RateLimiter
    from mantlet.embed.tools import ToolGuard
    from mantlet.embed.used import MemoryUsed
    from mantlet.stores.valkey.access import Access, StoreTls
    from mantlet.wire.forwarded import Forwarded

__all__ = [
    "Access",
    "AuditTrail",
    "Cache",
    "CircuitBreaker",
    "CircuitOpen",
    "ComputeFailed",
    "Forwarded",
    "ForwardedIdentity",
    "IdentityProvider",
    "MantletMiddleware",
    "MemoryUsed",
    "Node",
    "RateLimiter",
    "SecureAgentClient",
    "StoreTls",
    "ToolGuard",
    "open_forwarded",
]

_FROM: Final = {
    "Access": "mantlet.stores.valkey.access",
    "AuditTrail": "mantlet.embed.audit_trail",
    "Cache": "mantlet.embed.cache",
    "CircuitBreaker": "mantlet.embed.circuit_breaker",
    "CircuitOpen": "mantlet.embed.circuit_breaker",
    "ComputeFailed": "mantlet.embed.cache",
    "Forwarded": "mantlet.wire.forwarded",
    "ForwardedIdentity": "mantlet.embed.asgi",
    "IdentityProvider": "mantlet.embed.identity_provider",
    "MantletMiddleware": "mantlet.embed.gateway",
    "MemoryUsed": "mantlet.embed.used",
    "Node": "mantlet.embed.node",
    "RateLimiter": "mantlet.embed.rate_limiter",
    "SecureAgentClient": "mantlet.embed.agent_client",
    "StoreTls": "mantlet.stores.valkey.access",
    "ToolGuard": "mantlet.embed.tools",
    "open_forwarded": "mantlet.embed.node",
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FROM[name]), name)


def __dir__() -> list[str]:
    return __all__
