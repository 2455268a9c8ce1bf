"""The opening handshake as the server reads it (RFC 6455 section 4.2.1). Pure.

The head is strict HTTP by then, Host and Origin are on their lists, and fields that decide something stand once.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from mantlet.core.call import Arrival
from mantlet.core.headers import Headers
from mantlet.core.refusal import AmbiguousCredentials, Malformed, UpgradeRequired

VERSION: Final = b"13"
SUBPROTOCOL: Final = b"mcp"
TICKET_PREFIX: Final = b"mantlet.ticket."
"""A browser can set no header but this one. In the URL a ticket would stand in histories and logs."""
MAX_SUBPROTOCOLS: Final = 16

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PROTOCOLS: Final = b"sec-websocket-protocol"
_KEY: Final = b"sec-websocket-key"
_VERSION: Final = b"sec-websocket-version"
_SINGLE: Final = frozenset({_KEY, _VERSION, b"upgrade"})
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Offer:
    """A well-formed handshake; `subprotocol` is None where none is spoken."""

    accept: bytes
    subprotocol: bytes | None

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """What its answer carries besides the status."""
        fields = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", self.accept)]
        if self.subprotocol is not None:
            fields.append((_PROTOCOLS, self.subprotocol))
        return fields


def read(arrival: Arrival) -> Offer:
    """What a client offers. Raises `UpgradeRequired` or `Malformed`."""
    headers = arrival.headers
    upgrade = headers.get(b"upgrade")
    options = {option.strip(b" \t") for option in b",".join(headers.all(b"connection")).lower().split(b",")}
    if upgrade is None or upgrade.lower() != b"websocket" or b"upgrade" not in options:
        raise UpgradeRequired
    if headers.repeated(_SINGLE) is not None:
        raise Malformed("A WebSocket handshake field stands more than once.")
    if b"content-length" in headers or b"transfer-encoding" in headers:
        raise Malformed("An opening handshake has no body.")
    if headers.get(_VERSION) != VERSION:
        raise UpgradeRequired
    offered = _protocols(headers)
    return Offer(_accept(headers.get(_KEY)), SUBPROTOCOL if SUBPROTOCOL in offered else None)


def ticket_of(arrival: Arrival) -> bytes:
    """The ticket among the subprotocols, or nothing. Raises `Malformed` or `AmbiguousCredentials`."""
    if _PROTOCOLS not in arrival.headers:
        return b""
    offered = _protocols(arrival.headers)
    tickets = [name.removeprefix(TICKET_PREFIX) for name in offered if name.startswith(TICKET_PREFIX)]
    if len(tickets) > 1:
        raise AmbiguousCredentials(why="two tickets in one handshake")
    if tickets and SUBPROTOCOL not in offered:
        # A browser drops a connection whose answer selects none, and the ticket is not to be echoed.
        raise Malformed('Offer the subprotocol "mcp" beside the ticket.')
    return tickets[0] if tickets else b""


def _accept(key: bytes | None) -> bytes:
    try:
        is_key = key is not None and len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key or key is None:
        raise Malformed("Sec-WebSocket-Key must be 16 bytes as base64.")
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _protocols(headers: Headers) -> list[bytes]:
    offered = [name.strip(b" \t") for value in headers.all(_PROTOCOLS) for name in value.split(b",")]
    if len(offered) > MAX_SUBPROTOCOLS or any(_TOKEN.fullmatch(name) is None for name in offered):
        raise Malformed("Sec-WebSocket-Protocol is not a short list of names.")
    return offered
