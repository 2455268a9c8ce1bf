"""The first step of a TLS connection: a seat is taken before any cryptography is spent on it (RATE-06)."""

import asyncio
import ssl
from typing import cast

from mantlet.listeners.http.connection import Connection
from mantlet.listeners.http.door import Door
from mantlet.listeners.http.peer import address_of


class Handshake(asyncio.Protocol):
    """Counts an accepted socket against the caps, then raises it to TLS within the header deadline.

    `create_server(ssl=...)` tells a protocol of a connection only after its handshake: thousands of half-open ones
    would then be under no cap.
    """

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        self._door = door
        self._context = context
        self._accepted_s = door.clock.monotonic()
        # A client may send its request with its last handshake message: that comes before `start_tls` returns.
        self._early = bytearray()
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a seat or drop the socket: no plaintext answer on a TLS port (TLS-01)."""
        plain = cast(asyncio.Transport, transport)
        peer = address_of(plain.get_extra_info("peername"))
        if not self._door.seat(peer):
            plain.abort()
            return
        # Nothing may be read before the TLS layer stands in between.
        plain.pause_reading()
        self._door.handshakes.add(plain)
        self._door.tasks.start(self._raise(plain, peer), "tls handshake")

    def data_received(self, data: bytes) -> None:
        """Keep what comes early, for a moment."""
        self._early += data

    def eof_received(self) -> bool:
        """Gone before it began."""
        self._is_over = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Gone before it began."""
        self._is_over = True

    async def _raise(self, plain: asyncio.Transport, peer: str) -> None:
        door = self._door
        secured: asyncio.Transport | None = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                plain,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=door.config.header_timeout,
                ssl_shutdown_timeout=1.0,
            )
        except OSError:  # ssl.SSLError, a timeout, a reset: the client's affair
            pass
        finally:
            door.handshakes.discard(plain)
            if secured is None or self._is_over:
                door.unseat(peer)
                plain.abort()
        if secured is None or self._is_over:
            return
        connection = Connection(door, accepted_s=self._accepted_s, is_seated=True)
        secured.set_protocol(connection)
        connection.connection_made(secured)
        if self._early:
            connection.data_received(bytes(self._early))
