"""Legacy session ids leave the node sealed, and bound to the caller they were given to (MCP-04, AUTHZ-04).

So no table of sessions is kept: any worker opens what another sealed, and another caller's id opens nowhere.
"""

import re
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.ports import Sealer
from mantlet.core.refusal import BadUpstream, SessionNotFound

_VISIBLE: Final = re.compile(rb"[\x21-\x7e]{1,1024}")
"""2025-11-25, "Session Management"; the length is ours."""


def context(server: str, caller: Caller) -> bytes:
    """Server and caller as one value in which no part can pose as two (lengths stand before the parts)."""
    parts = [part.encode("utf-8", "surrogatepass") for part in ("mcp-session", server, *caller.key)]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def sealed(sealer: Sealer, upstream_id: bytes, server: str, caller: Caller) -> bytes:
    """The id that the client gets."""
    if not _VISIBLE.fullmatch(upstream_id):
        raise BadUpstream(why="its session id is not visible ASCII, or too long")
    return sealer.seal(upstream_id, context(server, caller)).encode()


def opened(sealer: Sealer, session: str, server: str, caller: Caller) -> bytes:
    """The upstream's id; raises `SessionNotFound` for anything that is not this caller's."""
    plain = sealer.open(session, context(server, caller))
    if plain is None:
        raise SessionNotFound()
    return plain
