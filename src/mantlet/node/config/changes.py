"""What differs between two configurations, and what of it takes effect without a restart."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from mantlet.node.config.model import Config

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


def changed(old: Config, new: Config) -> list[str]:
    """The dotted keys whose values differ, sections taken apart, lists as a whole."""
    return list(_changed(old, new, ""))


def needs_restart(keys: Sequence[str]) -> list[str]:
    """Those of `keys` that a reload cannot exchange."""
    return [key for key in keys if not _is_below(key, LIVE) or _is_below(key, FIXED)]


def _changed(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for name in type(old).__struct_encode_fields__:
            field = type(old).__struct_fields__[type(old).__struct_encode_fields__.index(name)]
            below = f"{path}.{name}" if path else name
            yield from _changed(getattr(old, field), getattr(new, field), below)
    elif old != new:
        yield path


def _is_below(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)
