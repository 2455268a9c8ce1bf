"""What one HTTP message to an MCP endpoint says, and whether its headers and body agree (MCP-01 … MCP-03).

The ladder of checks and its order follow the specification (2026-07-28, transports/streamable-http, "Server
Validation"; basic/index, "Per-request protocol fields") and its reading in the Python SDK's `shared/inbound.py`:
a client that contradicts itself hears of that before it hears of versions.
"""

from typing import Any, Final, NamedTuple

from mantlet.core.call import Era, Kind
from mantlet.core.headers import Headers
from mantlet.core.refusal import HeaderMismatch, InvalidParams, InvalidRequest, UnsupportedVersion
from mantlet.wire.jsonrpc import Envelope, refuse_folded
from mantlet.wire.mcp.header_values import decode_value
from mantlet.wire.mcp.methods import (
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_VERSION,
    MODERN_ONLY,
    MODERN_VERSIONS,
    NAMED_BY,
)

PROTOCOL_VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
SESSION_ID: Final = b"mcp-session-id"
LAST_EVENT_ID: Final = b"last-event-id"
ROUTING: Final = frozenset({PROTOCOL_VERSION, METHOD, NAME, SESSION_ID, LAST_EVENT_ID})

_PARAMS: Final = frozenset(
    {"name", "uri", "arguments", "_meta", "cursor", "ref", "argument", "inputResponses", "requestState"}
)


class Inbound(NamedTuple):
    """What a message is. `requested` is the protocol revision it was made for, empty when it does not say."""

    kind: Kind
    era: Era
    requested: str


class Routing(NamedTuple):
    """What the headers say of the message, for comparison with what it says itself."""

    version: str | None
    method: str | None
    name: str | None


def routing_of(headers: Headers) -> Routing:
    """All that `headers` say of a message. Raises `HeaderMismatch`."""
    if (repeated := headers.repeated(ROUTING)) is not None:
        raise HeaderMismatch(f"The header {repeated.decode()} stands more than once.")
    name = headers.get(NAME)
    return Routing(headers.text(PROTOCOL_VERSION), headers.text(METHOD), None if name is None else decode_value(name))


def read(envelope: Envelope, headers: Headers, *, is_message: bool = False) -> Inbound:
    """Tell era and kind of a POST and check its headers against its body.

    `is_message`: it came without a header layer (WebSocket, TCP, stdio), so its body alone says what it is; a version
    in `headers` is then the one that its connection negotiated.
    Raises `HeaderMismatch`, `InvalidParams`, `UnsupportedVersion` or `InvalidRequest`.
    """
    routing = headers.once(routing_of)
    refuse_folded(envelope.params, _PARAMS)
    version = routing.version or ""
    meta = envelope.params.get("_meta")
    declared = meta.get(META_VERSION) if type(meta) is dict else None
    if declared is None and is_message and not version and envelope.method in MODERN_ONLY:
        # No header could say so: a modern client that forgot the version is told that, not that the method is unknown.
        return _modern(envelope, None, "", meta)
    if declared is None and (is_message or routing.version is None or version in LEGACY_VERSIONS):
        return _legacy(envelope, version)
    if envelope.method == "initialize" and declared is None:
        # The handshake negotiates the version in its params; a header sent ahead of it decides nothing.
        return _legacy(envelope, "")
    return _modern(envelope, None if is_message else routing, declared if is_message else version, meta)


def without_session(is_message: bool) -> InvalidRequest:
    """What a legacy client is told that sent something else than `initialize` first, in words of its own door."""
    if is_message:
        return InvalidRequest("No session is open on this connection: begin with initialize.")
    return InvalidRequest("The Mcp-Session-Id header is missing: begin with initialize, which gives it.")


def _legacy(envelope: Envelope, version: str) -> Inbound:
    if envelope.is_response:
        return Inbound("response", "legacy", version)
    if envelope.id is None:
        return Inbound("notification", "legacy", version)
    return Inbound("request", "legacy", version)


def _modern(envelope: Envelope, routing: Routing | None, version: Any, meta: Any) -> Inbound:
    if envelope.is_response:
        raise InvalidRequest("In this revision of MCP a client sends no responses.")
    if envelope.id is None:
        # Header rules for notifications are not defined by the revision; the version must still be one we serve.
        _check_version(version or "")
        return Inbound("notification", "modern", version)
    if type(meta) is not dict or META_VERSION not in meta or META_CAPABILITIES not in meta:
        missing = [key for key in (META_VERSION, META_CAPABILITIES) if type(meta) is not dict or key not in meta]
        raise InvalidParams(f"params._meta lacks {', '.join(missing)}.")
    declared = meta[META_VERSION]
    if routing is not None:
        if not version or version != declared:
            raise HeaderMismatch("The MCP-Protocol-Version header does not equal the version in params._meta.")
        if routing.method != envelope.method:
            raise HeaderMismatch("The Mcp-Method header does not equal the method in the body.")
        _check_name(envelope, routing.name)
    _check_version(declared)
    if type(meta[META_CAPABILITIES]) is not dict:
        raise InvalidParams(f"params._meta {META_CAPABILITIES} must be an object.")
    return Inbound("request", "modern", version)


def _check_name(envelope: Envelope, name: str | None) -> None:
    member = NAMED_BY.get(envelope.method)
    if member is None:
        return
    value = envelope.params.get(member)
    if type(value) is not str:
        raise InvalidParams(f'"{member}" must be a string.')
    if name != value:
        raise HeaderMismatch(f'The Mcp-Name header does not equal "{member}" in the body.')


def _check_version(version: str) -> None:
    if version not in MODERN_VERSIONS:
        # Only what a message of this shape can be retried as, and what `server/discover` says: a legacy revision
        # begins with `initialize`, and whether the server behind speaks one is not known here.
        raise UnsupportedVersion(version, MODERN_VERSIONS)
