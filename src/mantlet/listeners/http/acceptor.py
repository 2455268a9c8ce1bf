"""Accepting for TLS: a seat is taken before any cryptography is spent on a connection (RATE-06)."""

import asyncio
import socket
import ssl
from typing import Final

from mantlet.listeners.http.connection import Connection
from mantlet.listeners.http.door import Door
from mantlet.listeners.http.peer import address_of

BACKLOG: Final = 1024
ACCEPTS_A_TURN: Final = 64
"""Connections taken in one turn of the loop, so that a flood does not keep it from those it has."""
OUT_OF_FILES_S: Final = 0.5
SHUTDOWN_S: Final = 1.0


class TlsAcceptor:
    """Stands where an `asyncio.Server` stands for plain HTTP.

    `create_server(ssl=...)` tells a protocol of a connection only after its handshake: thousands of half-open ones
    would then be under no cap. (`loop.start_tls` on an accepted transport is no way either: uvloop reads the client's
    first bytes before it can be called.)
    """

    def __init__(self, door: Door, context: ssl.SSLContext, sock: socket.socket) -> None:
        self._door = door
        self._context = context
        self._sock = sock
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock.fileno(), self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket, until closed."""
        return (self._sock,) if self._is_open else ()

    def close(self) -> None:
        """Stop accepting."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                accepted, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of files: trying again at once would spin
                self._door.on_error(error, None)
                self._loop.remove_reader(self._sock.fileno())
                self._loop.call_later(OUT_OF_FILES_S, self._resume)
                return
            peer = address_of(address)
            if not self._door.seat(peer):
                accepted.close()  # no plaintext answer on a TLS port (TLS-01)
                continue
            accepted.setblocking(False)
            task = self._door.tasks.start(self._handshake(accepted, peer), "tls handshake")
            self._door.handshakes.add(task)
            task.add_done_callback(self._door.handshakes.discard)

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    async def _handshake(self, accepted: socket.socket, peer: str) -> None:
        # The head's deadline runs from here: the handshake is part of the receipt (HTTP-05).
        connection = Connection(self._door, is_seated=True)
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._door.config.header_timeout,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError:
            pass  # ssl.SSLError, a timeout, a reset: the client's affair
        finally:
            if not connection.id:  # never made, so it will not give its seat back
                self._door.unseat(peer)
