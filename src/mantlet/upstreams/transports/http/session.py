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
MAX_REMEMBERED: Final = 1024
"""Opened ids that one server keeps, of 1 KiB at most each."""


def context(server: str, caller: Caller) -> bytes:
    """Server and caller as one value in which no part can pose as two (lengths stand before the parts)."""
    parts = [part.encode("utf-8", "surrogatepass") for part in ("mcp-session", server, *caller.key)]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def sealed(sealer: Sealer, upstream_id: bytes, server: str, caller: Caller, mark: bytes = b"") -> bytes:
    """The id that the client gets. `mark` says, sealed with it, which endpoint of the server the session lives at."""
    if not _VISIBLE.fullmatch(upstream_id):
        raise BadUpstream(why="its session id is not visible ASCII, or too long")
    return sealer.seal(mark + upstream_id, context(server, caller)).encode()


def opened(sealer: Sealer, session: str, server: str, caller: Caller) -> bytes:
    """The upstream's id; raises `SessionNotFound` for anything that is not this caller's."""
    plain = sealer.open(session, context(server, caller))
    if plain is None:
        raise SessionNotFound()
    return plain


class OpenedIds:
    """`opened` for one server, which remembers: a seal costs some 20 us, and each call brings the same one.

    Only what did open is kept, and under the caller that it opened for, so nobody fills this with guesses and no other
    caller finds it (AUTHZ-04). It lives as long as its sealer's keys do.
    """

    def __init__(self, sealer: Sealer, server: str) -> None:
        self._sealer = sealer
        self._server = server
        self._known: dict[tuple[str, tuple[str, str, str]], bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, session: str, caller: Caller) -> bytes:
        """See `opened`."""
        key = (session, caller.key)
        plain = self._known.get(key)
        if plain is None:
            plain = opened(self._sealer, session, self._server, caller)
            if len(self._known) >= MAX_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = plain
        return plain
