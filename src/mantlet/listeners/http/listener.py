"""Opening the door, sweeping before it, and closing it without cutting anybody off (RES-05)."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.tasks import Tasks
from mantlet.listeners.accept import BACKLOG, Acceptor, Make
from mantlet.listeners.http import origin
from mantlet.listeners.http.answer import Constant
from mantlet.listeners.http.config import HttpConfig
from mantlet.listeners.http.connection import Connection
from mantlet.listeners.http.door import SWEEP_S, ConnectionInfo, Door, OnError, Refuse, Told, Unanswered
from mantlet.listeners.peer import networks
from mantlet.listeners.tls import Certificates, Served
from mantlet.listeners.tls.context import HTTP_1

ACCEPTED_S: Final = 0.05
"""Until what the loop has accepted already has become a connection."""
NEXT_TURN_S: Final = 0.001
"""Until the sweep goes on where a turn did not take all: what came meanwhile is served first. Without the pause good
callers waited longer beside thousands that were late, and those were gone hardly sooner."""
CANCEL_S: Final = 2.0
"""How long cancelled work may take to clean up."""


class HttpListener:
    """An open HTTP listener. Everything happens on the loop that opened it."""

    def __init__(self, door: Door, server: asyncio.Server | Acceptor, port: int) -> None:
        self.port = port
        self._door = door
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none once draining."""
        return tuple(self._server.sockets)

    @property
    def refused_connections(self) -> int:
        """How many connections a cap has turned away."""
        return self._door.seats.refused

    @property
    def displaced_connections(self) -> int:
        """How many connections left for newcomers, because all seats were taken."""
        return self._door.seats.displaced

    @property
    def connected(self) -> int:
        """How many connections are open."""
        return len(self._door.guests)

    def connections(self) -> list[ConnectionInfo]:
        """Who is connected now, oldest first."""
        now_s = self._door.clock.monotonic()
        return sorted((guest.info(now_s) for guest in self._door.guests), key=lambda info: info.id)

    async def drain(self, grace_s: float, linger_s: float = 0.0) -> None:
        """Stop accepting, let what is in flight end within `grace_s`, then cancel the rest. May be called twice.

        `linger_s` is for a process whose place another has taken: an idle connection is closed with its next answer,
        or when that long nothing came. Closed at once, it might be one on which a request is just arriving.
        """
        door = self._door
        door.is_leaving = True
        self._server.close()
        if linger_s:
            await self._linger(linger_s)
        door.seats.is_shut = True
        for guest in list(door.guests):
            guest.leave()
        await self._door.seats.until_empty(grace_s)
        await self.close()

    async def close(self) -> None:
        """Drop every connection and cancel its work, now."""
        door = self._door
        door.is_leaving = door.seats.is_shut = True
        self._server.close()
        if isinstance(self._server, Acceptor):
            self._server.abort_openings()
        for guest in list(door.guests):
            guest.abort()
        await self._door.seats.until_empty(CANCEL_S)
        self._sweeper.cancel()

    async def _linger(self, linger_s: float) -> None:
        await asyncio.sleep(ACCEPTED_S)
        for guest in list(self._door.guests):
            guest.leave(linger_s)
        await self._door.seats.until_empty(linger_s + 2 * SWEEP_S)

    def _sweep(self) -> None:
        has_more = self._door.sweep()
        self._sweeper = self._loop.call_later(NEXT_TURN_S if has_more else SWEEP_S, self._sweep)


async def listen(
    config: HttpConfig,
    handler: ArrivalHandler,
    *,
    refuse: Refuse,
    clock: Clock,
    tasks: Tasks,
    new_id: Callable[[], str],
    on_error: OnError,
    door: str = "http",
    reuse_port: bool = False,
    sock: socket.socket | None = None,
    public_hosts: Sequence[str] = (),
    tls: Served | None = None,
    max_body_bytes: int = 0,
    told: Told | None = None,
    unanswered: Unanswered | None = None,
) -> HttpListener:
    """Open the listener and serve `handler` until it is drained or closed.

    `refuse` records and renders what is refused before there is an `Arrival`; `handler` answers the rest itself.
    `sock` is a bound socket to use instead of host and port; `reuse_port` lets several workers bind one port.
    `tls` is what the node renews for this listener; without it `config.tls` is read, once.
    `told` is what a request that a trusted proxy brings is refused with, where that is decided already.
    `unanswered` records that a connection is closed without a word; without it each gets its answer.
    `max_body_bytes` is of the largest body that the handler passes on, where it takes more than the configured size.
    Raises `OSError` or `ValueError` when the port or the TLS files cannot be had.
    """
    if tls is None:
        tls = Certificates(clock=clock).serve(door, config.tls, alpn=alpn_of(config))
    if sock is None:
        sock = bound(config.host, config.port, reuse_port=reuse_port)
    port = sock.getsockname()[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else 0
    state = Door(
        config=config,
        handler=handler,
        refuse=refuse,
        clock=clock,
        tasks=tasks,
        new_id=new_id,
        on_error=on_error,
        name=door,
        names=origin.names(
            bind_host=config.host,
            port=port,
            is_tls=tls is not None,
            allowed_hosts=config.allowed_hosts,
            public_hosts=public_hosts,
            cors_origins=config.cors_origins,
            cors_credentials=config.cors_credentials,
        ),
        trusted=networks(config.trusted_proxies),
        forwarded=config.forwarded.encode(),
        constant=Constant(is_tls=tls is not None),
        is_tls=tls is not None,
        now_s=clock.monotonic(),
        max_body_bytes=max_body_bytes,
        told=told,
        unanswered=unanswered,
    )
    state.constant.refresh(clock.wall())
    if tls is not None or config.proxy_protocol == "required":
        acceptor = Acceptor(
            sock,
            _speaker(state),
            seats=state.seats,
            tasks=tasks,
            monotonic=clock.monotonic,
            opening_s=config.header_timeout,
            on_error=lambda error: on_error(error, None),
            tls=tls,
            proxies=state.trusted if config.proxy_protocol == "required" else None,
        )
        return HttpListener(state, acceptor, port)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), sock=sock, backlog=BACKLOG)
    return HttpListener(state, server, port)


def alpn_of(config: HttpConfig) -> tuple[str, ...]:
    """What a listener offers its TLS clients to speak."""
    return ("h2", *HTTP_1) if config.http2 else HTTP_1


def _speaker(door: Door) -> Make:
    if not door.config.http2:
        return partial(Connection, door)
    from mantlet.listeners.http2 import require

    require()
    from mantlet.listeners.http2.connection import Http2Connection

    return lambda accepted: Http2Connection(door, accepted) if accepted.alpn == "h2" else Connection(door, accepted)


def bound(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A bound TCP socket for one address; `host` is a name or an address."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setblocking(False)
        made.bind(address)
    except OSError as error:
        made.close()
        hint = "; is another node running?" if error.errno == errno.EADDRINUSE else ""
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error
    return made
