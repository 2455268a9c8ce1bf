"""Taking a header off a fresh socket, and not a byte more: what follows may be TLS."""

import asyncio
import socket

from mantlet.listeners.proxy_protocol.header import PREFIX_BYTES, Header, NotProxied, parse, rest_bytes


async def receive(sock: socket.socket) -> Header:
    """Read one header from a non-blocking socket. The caller sets the deadline.

    Raises `NotProxied`, or `OSError` when the peer goes.
    """
    prefix = await _exactly(sock, PREFIX_BYTES)
    return parse(prefix, await _exactly(sock, rest_bytes(prefix)))


async def _exactly(sock: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    parts = b""
    while len(parts) < count:
        part = await loop.sock_recv(sock, count - len(parts))
        if not part:
            raise NotProxied("the connection ended in its header")
        parts += part
    return parts
