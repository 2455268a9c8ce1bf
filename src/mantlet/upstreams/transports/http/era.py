"""Which eras a server speaks, read from how it answers two probes (2026-07-28, basic/versioning and
transports/streamable-http, "Backward Compatibility").

A recognised modern error identifies a modern server; anything else that is an answer at all does not. What is no answer
to the question (an outage, a refused credential) is `None`, and nothing may be concluded from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.call import Era
from mantlet.wire.mcp.methods import (
    LATEST_LEGACY,
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    MODERN_VERSIONS,
)

HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
METHOD_NOT_FOUND: Final = -32601
PROBE_ID: Final = "mantlet-probe"


@dataclass(frozen=True, slots=True)
class Found:
    """Eras that one probe shows. `versions` are the server's own words, for the client that asked for another."""

    eras: frozenset[Era]
    versions: tuple[str, ...] = ()


def discover_request(version: str) -> dict[str, Any]:
    """A modern `server/discover` of the node's own."""
    meta = {META_VERSION: MODERN_VERSIONS[0], META_CLIENT_INFO: _client(version), META_CAPABILITIES: {}}
    return {"jsonrpc": "2.0", "id": PROBE_ID, "method": "server/discover", "params": {"_meta": meta}}


def initialize_request(version: str) -> dict[str, Any]:
    """A legacy `initialize` of the node's own; it offers no capabilities."""
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": _client(version)}
    return {"jsonrpc": "2.0", "id": PROBE_ID, "method": "initialize", "params": params}


def read_discover(status: int, message: Any) -> Found | None:
    """What the answer to `server/discover` shows; `message` is its decoded JSON-RPC message, or None."""
    if is_outage(status):
        return None
    body = message if type(message) is dict else {}
    result = body.get("result")
    if status == 200 and type(result) is dict:
        versions = _texts(result.get("supportedVersions"))
        return Found(_eras_of(versions), versions)
    error = body.get("error")
    code = error.get("code") if type(error) is dict else None
    if code == UNSUPPORTED_VERSION:
        # It was asked in our revision: what it supports decides, not that it is modern.
        data = error.get("data") if type(error) is dict else None
        versions = _texts(data.get("supported") if type(data) is dict else None)
        return Found(_eras_of(versions), versions)
    if code in (HEADER_MISMATCH, MISSING_CAPABILITY) or (code == METHOD_NOT_FOUND and status == 404):
        return Found(frozenset({"modern"}), MODERN_VERSIONS)
    return Found(frozenset())


def read_initialize(status: int, message: Any) -> Found | None:
    """What the answer to `initialize` shows."""
    if is_outage(status):
        return None
    result = message.get("result") if type(message) is dict else None
    version = result.get("protocolVersion") if type(result) is dict else None
    if status == 200 and version in LEGACY_VERSIONS:
        return Found(frozenset({"legacy"}), (str(version),))
    return Found(frozenset())


def is_outage(status: int) -> bool:
    """Whether a status says nothing about the protocol: redirects, refused credentials, limits, failures."""
    return status < 200 or 300 <= status < 400 or status in (401, 403, 407, 408, 429) or status >= 500


def _eras_of(versions: Iterable[str]) -> frozenset[Era]:
    found: set[Era] = set()
    for version in versions:
        if version in MODERN_VERSIONS:
            found.add("modern")
        elif version in LEGACY_VERSIONS:
            found.add("legacy")
    return frozenset(found)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if type(item) is str) if type(value) is list else ()


def _client(version: str) -> dict[str, str]:
    return {"name": "mantlet", "version": version}
