"""Opening the TCP door, sweeping before it, and closing it without cutting anybody off (RES-05)."""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import Final

from mantlet.core.policy import ArrivalHandler
from mantlet.listeners.accept import Acceptor
from mantlet.listeners.http.door import SWEEP_S, ConnectionInfo
from mantlet.listeners.http.listener import bound
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.peer import networks
from mantlet.listeners.tcp.config import TcpConfig
from mantlet.listeners.tcp.connection import TcpConnection
from mantlet.listeners.tcp.door import TcpDoor
from mantlet.listeners.tls import Served

CANCEL_S: Final = 2.0
"""How long cancelled work may take to clean up."""


class TcpListener:
    """An open TCP listener. Everything happens on the loop that opened it."""

    def __init__(self, door: TcpDoor, acceptor: Acceptor, port: int) -> None:
        self.port = port
        self._door, self._acceptor = door, acceptor
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    @property
    def refused_connections(self) -> int:
        """How many connections a cap has turned away."""
        return self._door.seats.refused

    @property
    def displaced_connections(self) -> int:
        """How many connections left for newcomers, because all seats were taken."""
        return self._door.seats.displaced

    def connections(self) -> list[ConnectionInfo]:
        """Who is connected now, oldest first."""
        now_s = self._door.terms.clock.monotonic()
        return sorted((guest.info(now_s) for guest in self._door.guests), key=lambda info: info.id)

    async def drain(self, grace_s: float, linger_s: float = 0.0) -> None:
        """Stop accepting, let what is in flight end within `grace_s`, then cancel the rest. May be called twice.

        Nothing lingers: whoever speaks here is told that the node leaves.
        """
        self._door.seats.is_shut = True
        self._acceptor.close()
        self._acceptor.abort_openings()
        for guest in list(self._door.guests):
            guest.leave()
        await self._door.seats.until_empty(grace_s)
        await self.close()

    async def close(self) -> None:
        """Drop every connection and cancel its work, now."""
        self._door.seats.is_shut = True
        self._acceptor.close()
        self._acceptor.abort_openings()
        for guest in list(self._door.guests):
            guest.abort()
        await self._door.seats.until_empty(CANCEL_S)
        self._sweeper.cancel()

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        self._door.sweep()


def listen(
    config: TcpConfig,
    terms: Terms,
    opening: ArrivalHandler,
    endpoints: Collection[str],
    *,
    on_error: Callable[[BaseException], None],
    reuse_port: bool = False,
    sock: socket.socket | None = None,
    tls: Served | None = None,
) -> TcpListener:
    """Open the listener. `opening` records, authenticates and limits an `auth`, and raises what it refuses.

    `endpoints` are the MCP endpoints as HTTP knows them. Raises `OSError` when the port cannot be had.
    """
    if sock is None:
        sock = bound(config.host, config.port, reuse_port=reuse_port)
    port = sock.getsockname()[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else 0
    door = TcpDoor(config, terms, opening, frozenset(endpoints), now_s=terms.clock.monotonic())
    acceptor = Acceptor(
        sock,
        lambda accepted: TcpConnection(door, accepted),
        seats=door.seats,
        tasks=terms.tasks,
        monotonic=terms.clock.monotonic,
        opening_s=config.auth_timeout,
        on_error=on_error,
        tls=tls,
        proxies=networks(config.trusted_proxies) if config.proxy_protocol == "required" else None,
    )
    return TcpListener(door, acceptor, port)
