"""Ids of legacy sessions that the node itself keeps (MCP-04): sealed, so that none can be guessed, changed or used by
another caller, and any process of the node can open them."""

from collections.abc import Callable
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer
from mantlet.wire import jsonrpc

RANDOM_BYTES: Final = 16
LIFE_S: Final = 86_400.0
"""From its beginning, however busy."""
MAX_ID_CHARACTERS: Final = 1_024


class SessionIds:
    """The ids of one server's sessions: random bits, the time of issue and the protocol version."""

    def __init__(self, server: str, sealer: Sealer, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._server = server
        self._sealer = sealer
        self._clock = clock
        self._random_bytes = random_bytes

    def mint(self, caller: Caller, version: str) -> str:
        """A new one for `caller`."""
        issued = int(self._clock.wall()).to_bytes(8, "big")
        return self._sealer.seal(self._random_bytes(RANDOM_BYTES) + issued + version.encode(), self._context(caller))

    def read(self, identity: str, caller: Caller) -> tuple[float, str] | None:
        """When (Unix time) the session of `identity` is over, and its version; None for a foreign or forged one."""
        plain = self._sealer.open(identity, self._context(caller)) if len(identity) <= MAX_ID_CHARACTERS else None
        if plain is None or len(plain) < RANDOM_BYTES + 8:
            return None
        issued_s = int.from_bytes(plain[RANDOM_BYTES : RANDOM_BYTES + 8], "big")
        return issued_s + LIFE_S, plain[RANDOM_BYTES + 8 :].decode("ascii", "replace")

    def _context(self, caller: Caller) -> bytes:
        return jsonrpc.encode(["stdio-session", self._server, *caller.key])
