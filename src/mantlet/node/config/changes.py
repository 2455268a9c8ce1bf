"""What differs between two configurations, and what of it takes effect without a restart."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from mantlet.node.config.model import Config
from mantlet.upstreams.transports.http.config import HttpServerConfig

LIVE: Final = (
    "accept_risks",
    "auth",
    "authorization",
    "cache",
    "debug",
    "limits",
    "logging.level",
    "mcp.limits.request_timeout_ms",
    "mcp.unknown_methods",
    "validation.max_depth",
    "validation.max_keys",
)
"""Keys, each with all below it, that a reload exchanges."""
FIXED: Final = ("auth.mtls.ca_file", "auth.mtls.crl_check", "auth.mtls.crl_file", "auth.server",
                "authorization.approvals", "cache.early_refresh", "cache.enabled", "cache.max_bytes",
                "cache.max_entries", "cache.max_entry_bytes", "cache.store_max_bytes", "cache.tenant_share",
                "limits.connections", "limits.leases", "limits.nodes",
                "limits.on_store_failure")  # fmt: skip
"""Keys below those that belong to something that is open."""


OPENED: Final = frozenset({"affinity_header", "balance", "breaker", "endpoints", "hedge", "outlier", "prefer_zone",
                           "retry", "slow_start"})  # fmt: skip
"""Of each server: what a worker opens when it starts. Where workers can be exchanged, their successors have it."""
OPENED_OVER_HTTP: Final = frozenset({"connect_timeout", "headers", "health", "http2", "idle_timeout", "max_connections",
                                     "max_answer_bytes", "max_event_bytes", "max_streams", "max_waiters", "tls", "url",
                                     "probe_timeout", "stream_idle_timeout", "stream_total_timeout"})  # fmt: skip
"""The same of servers over HTTP. The connections to others are not the workers' own."""
_OF_SERVER: Final = re.compile(r"mcp\.servers\[([^\]]*)\]\.(\w+)")


def changed(old: Config, new: Config) -> list[str]:
    """The dotted keys whose values differ, sections taken apart, lists as a whole; of servers whose names and kinds
    are as before each by itself (`mcp.servers[docs].endpoints`)."""
    return list(_changed(old, new, ""))


def needs_restart(keys: Sequence[str], new: Config, *, has_workers: bool = False) -> list[str]:
    """Those of `keys` that a reload to `new` cannot exchange. `has_workers`: they can be exchanged for others."""
    fixed = [key for key in keys if not _is_below(key, LIVE) or _is_below(key, FIXED)]
    return [key for key in fixed if not needs_workers([key], new)] if has_workers else fixed


def needs_workers(keys: Sequence[str], new: Config) -> bool:
    """Whether any of `keys` takes effect with new workers only."""
    over_http = {server.name for server in new.mcp.servers if isinstance(server, HttpServerConfig)}
    return any(
        _is_workers(found[1], found[2], over_http, new) for key in keys if (found := _OF_SERVER.match(key)) is not None
    )


def is_moved_under_answers(key: str, new: Config) -> bool:
    """Whether `key` is where a server is, while what it answered at the old place is kept."""
    found = _OF_SERVER.match(key)
    return found is not None and found[2] == "url" and _keeps_answers(new)


def _keeps_answers(new: Config) -> bool:
    """Under the server's name, and in a store that outlives workers."""
    return new.cache.enabled or any(getattr(one, "fallback", None) for one in new.mcp.servers)


def _is_workers(server: str, field: str, over_http: Collection[str], new: Config) -> bool:
    if field == "url" and _keeps_answers(new):
        return False
    return field in OPENED or (field in OPENED_OVER_HTTP and server in over_http)


def _changed(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for name in type(old).__struct_encode_fields__:
            field = type(old).__struct_fields__[type(old).__struct_encode_fields__.index(name)]
            below = f"{path}.{name}" if path else name
            yield from _changed(getattr(old, field), getattr(new, field), below)
    elif path == "mcp.servers" and [(type(one), one.name) for one in old] == [(type(one), one.name) for one in new]:
        for before, after in zip(old, new, strict=True):
            yield from _changed(before, after, f"{path}[{after.name}]")
    elif old != new:
        yield path


def _is_below(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)
