"""Which names and which browsers may speak to this listener: Host, Origin and CORS (HTTP-02, HTTP-03, HTTP-12).

Exact sets, made once at load; no patterns, no reflection of what is not on a list.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import ForbiddenOrigin, MisdirectedHost

Fields = list[tuple[bytes, bytes]]

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
METHODS: Final = frozenset({b"GET", b"POST", b"DELETE", b"HEAD", b"PUT", b"PATCH"})
REQUEST_HEADERS: Final = frozenset(
    {
        b"accept",
        b"authorization",
        b"baggage",
        b"content-type",
        b"dpop",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"prefer",
        b"range",
        b"traceparent",
        b"tracestate",
        b"x-api-key",
        b"x-request-id",
    }
)
"""What a listed origin may send; `Mcp-Param-*` besides (MCP 2026-07-28, "Custom Headers from Tool Parameters")."""
_PARAM: Final = re.compile(rb"mcp-param-[!#$%&'*+\-.^_`|~0-9a-z]{1,128}")
MAX_REQUESTED: Final = 64
"""Header names in one preflight."""
EXPOSED: Final = (
    b"mcp-session-id, mcp-protocol-version, www-authenticate, dpop-nonce, retry-after, x-request-id, "
    b"allow, accept-ranges, content-disposition, content-range, etag, location, "
    b"x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, ratelimit-policy"
)
MAX_AGE_S: Final = 600


@dataclass(frozen=True, slots=True)
class Names:
    """Hosts and origins of one listener, in lower case."""

    hosts: frozenset[bytes]
    origins: frozenset[bytes]
    """Configured for CORS."""
    own_origins: frozenset[bytes]
    """Pages that this listener's own names serve."""
    allows_any_origin: bool
    allows_credentials: bool


def names(
    *,
    bind_host: str,
    port: int,
    is_tls: bool,
    allowed_hosts: Sequence[str] = (),
    public_hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    cors_credentials: bool = False,
) -> Names:
    """Work out every acceptable `Host` and `Origin` value once.

    A configured name without a port is good bare (behind a proxy, or on the default port) and with the listener's
    port; loopback names and the bound address are good with the listener's port only, or bare where that is implied.
    """
    scheme, default_port = ("https", 443) if is_tls else ("http", 80)
    hosts: set[str] = set()
    own: set[str] = set()
    for name in {*LOOPBACK, *_literal(bind_host)}:
        for spelling in {f"{name}:{port}", *([name] if port == default_port else [])}:
            hosts.add(spelling)
            own.add(f"{scheme}://{spelling}")
    for name in (*allowed_hosts, *public_hosts):
        bare = name.lower()
        for spelling in {bare} if _has_port(bare) else {bare, f"{bare}:{port}"}:
            hosts.add(spelling)
            # TLS may end in front of us, and these names are the ones that the world uses.
            own |= {f"{scheme}://{spelling}", f"https://{spelling}"}
    return Names(
        frozenset(host.encode() for host in hosts),
        frozenset(origin.lower().rstrip("/").encode() for origin in cors_origins if origin != "*"),
        frozenset(origin.encode() for origin in own),
        "*" in cors_origins,
        cors_credentials,
    )


def _has_port(host: str) -> bool:
    return ":" in host and not host.endswith("]")


def _literal(bind_host: str) -> list[str]:
    try:
        address = ipaddress.ip_address(bind_host)
    except ValueError:
        return [bind_host.lower()] if bind_host else []
    # The wildcard address is nobody's name.
    return [] if address.is_unspecified else [f"[{address}]" if address.version == 6 else str(address)]


def check_host(host: bytes, listed: Names) -> None:
    """Refuse a `Host` that is not on the list with `MisdirectedHost`."""
    if host not in listed.hosts and host.lower() not in listed.hosts:
        raise MisdirectedHost(why=f"Host {host[:100].decode('latin-1')!r} is not one of this listener's names")


def check_origin(origin: bytes, listed: Names) -> None:
    """Refuse an `Origin` that is neither configured nor the listener's own with `ForbiddenOrigin`.

    `null` is no origin: sandboxed frames and local files of anyone send it.
    """
    if origin in listed.origins or origin in listed.own_origins:
        return
    if listed.allows_any_origin and origin.lower() != b"null":
        return
    raise ForbiddenOrigin(why=f"Origin {origin[:200].decode('latin-1')!r} is not listed")


def cors_fields(origin: bytes, listed: Names) -> Fields:
    """What every answer to an accepted origin carries. Empty for the listener's own pages, which need nothing."""
    if origin in listed.origins:
        fields = [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED)]
        if listed.allows_credentials:
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields
    if listed.allows_any_origin and origin not in listed.own_origins:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
    return []


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a request is a CORS preflight (Fetch, section "CORS protocol")."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def preflight_fields(headers: Headers, listed: Names) -> Fields:
    """The answer's fields to a preflight of an accepted origin; raises `ForbiddenOrigin` when it asks for too much."""
    method = headers.get(b"access-control-request-method")
    asked = _names(b",".join(headers.all(b"access-control-request-headers")))
    if method not in METHODS or len(asked) > MAX_REQUESTED:
        raise ForbiddenOrigin("The preflight asks for a method or header that is not allowed.")
    if any(name not in REQUEST_HEADERS and _PARAM.fullmatch(name) is None for name in asked):
        raise ForbiddenOrigin("The preflight asks for a method or header that is not allowed.")
    fields = cors_fields(headers.get(b"origin") or b"", listed)
    fields.append((b"access-control-allow-methods", b", ".join(sorted(METHODS))))
    if asked:
        fields.append((b"access-control-allow-headers", b", ".join(asked)))
    fields.append((b"access-control-max-age", b"%d" % MAX_AGE_S))
    return fields


def _names(value: bytes) -> list[bytes]:
    return [name for part in value.lower().split(b",") if (name := part.strip(b" \t"))]
