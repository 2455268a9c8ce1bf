"""Waiting for a client's first words before anything is spent on its TLS.

A TLS object takes some 45 KiB from its making on, a socket that is only watched 5: a thousand clients that connect and
say nothing, or trickle, must not take what a thousand that speak do (RATE-06). The bytes stay in the socket's buffer.
"""

import asyncio
import socket
from typing import Final

HEAD_BYTES: Final = 5
"""Of a record (RFC 8446 section 5.1): type, version, length."""
HANDSHAKE: Final = 22
MAX_RECORD_BYTES: Final = 16_384
"""Of a plaintext; a longer one is refused by whoever reads it."""


async def wait_for_hello(sock: socket.socket) -> None:
    """Return when the first record is whole, the client has gone, or it says what is no TLS. Cancel to give up.

    Raises `OSError` when the connection is gone already.
    """
    head = _peek(sock, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        await _at_least(sock, HEAD_BYTES)
        head = _peek(sock, HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            return  # no more will come
    if head[0] != HANDSHAKE:
        return
    size = HEAD_BYTES + min(int.from_bytes(head[3:5], "big"), MAX_RECORD_BYTES)
    if len(_peek(sock, size)) < size:
        await _at_least(sock, size)


def _peek(sock: socket.socket, size: int) -> bytes:
    try:
        return sock.recv(size, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


async def _at_least(sock: socket.socket, size: int) -> None:
    """Until so many bytes are there, or there will be no more.

    The kernel is told how many: else the loop would be woken by each of a trickle, or spin on those that are there.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
    loop.add_reader(sock.fileno(), _tell, loop, sock.fileno(), ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _tell(loop: asyncio.AbstractEventLoop, file: int, ready: asyncio.Future[None]) -> None:
    # Here already, for a busy loop would call again, many times, before whoever waits has its turn.
    loop.remove_reader(file)
    if not ready.done():
        ready.set_result(None)
