"""Accepting for TLS and behind proxies: a seat is taken before anything is spent on a connection (RATE-06).

Any listener can use it: `Seats` counts its connections, `make` gives a protocol for each one that is ready to speak.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from mantlet.core.certificate import PeerCertificate
from mantlet.core.tasks import Tasks
from mantlet.listeners.accept.handshakes import Handshakes
from mantlet.listeners.accept.seats import Seat, Seats
from mantlet.listeners.peer import Network, address_of, is_within
from mantlet.listeners.proxy_protocol import NotProxied, receive
from mantlet.listeners.tls.hello import wait_for_hello
from mantlet.listeners.tls.served import Served

BACKLOG: Final = 1024
ACCEPTS_A_TURN: Final = 64
"""Connections taken in one turn of the loop, so that a flood does not keep it from those it has."""
OUT_OF_FILES_S: Final = 0.5
SHUTDOWN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection that may speak."""

    seat: Seat
    """Lent, unless it is a proxy's; whoever serves the connection is its holder from now on, and gives it back."""
    at_s: float
    """When it was accepted, on the loop's clock given to `Acceptor`: deadlines of receipt begin here (HTTP-05)."""
    certificate: PeerCertificate | None
    alpn: str | None
    """What TLS agreed on; None without TLS or agreement."""

    @property
    def peer(self) -> str:
        """Its address; behind a PROXY protocol that of the balancer's client."""
        return self.seat.peer


Make = Callable[[Accepted], asyncio.Protocol]


class Acceptor:
    """Stands where an `asyncio.Server` stands for plain connections.

    `create_server(ssl=...)` tells a protocol of a connection only after its handshake: thousands of half-open ones
    would then be under no cap. (`loop.start_tls` on an accepted transport is no way either: uvloop reads the client's
    first bytes before it can be called.)
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Make,
        *,
        seats: Seats,
        tasks: Tasks,
        monotonic: Callable[[], float],
        opening_s: float,
        on_error: Callable[[BaseException], None],
        tls: Served | None = None,
        proxies: tuple[Network, ...] | None = None,
    ) -> None:
        """`proxies`: the balancers that must begin each connection with a PROXY header; None when there are none.

        `opening_s` bounds PROXY header and TLS handshake together.
        """
        self._make, self._seats, self._tasks = make, seats, tasks
        self._monotonic, self._opening_s, self._on_error = monotonic, opening_s, on_error
        self._tls, self._proxies = tls, proxies
        self._sock = sock
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._handshakes = Handshakes(self._loop, seats.displace)
        self._opening: set[Opening] = set()
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

    def abort_openings(self) -> None:
        """Give up on connections that are not ready to speak."""
        for opening in list(self._opening):
            opening.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                accepted, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of files: trying again at once would spin
                self._on_error(error)
                self._loop.remove_reader(self._sock.fileno())
                self._loop.call_later(OUT_OF_FILES_S, self._resume)
                return
            peer = address_of(address)
            is_foreign = self._proxies is not None and not is_within(peer, self._proxies)
            seat = None if is_foreign else self._seats.take(peer)
            if seat is None:
                accepted.close()  # no plaintext answer on a TLS port (TLS-01)
                continue
            accepted.setblocking(False)
            opening = Opening(self._make, seat, self._monotonic(), self._tls)
            self._opening.add(opening)
            opening.task = self._tasks.start(self._open(opening, accepted), "opening")
            # Not a `finally` of the work: who is displaced in the turn it came in never takes its first step.
            opening.task.add_done_callback(partial(self._over, opening, accepted))

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    async def _open(self, opening: "Opening", accepted: socket.socket) -> None:
        ends_s = self._loop.time() + self._opening_s
        try:
            if self._proxies is None or await self._is_seated(opening, accepted, ends_s):
                await self._connect(opening, accepted, ends_s)
        except NotProxied:
            pass  # whoever it is, nothing it says counts
        except OSError as error:  # ssl.SSLError, a timeout, a reset: the client's affair
            if self._tls is not None:
                self._tls.failed(error)

    def _over(self, opening: "Opening", accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._opening.discard(opening)
        if not opening.is_made:
            accepted.close()
            opening.seat.leave()

    async def _is_seated(self, opening: "Opening", accepted: socket.socket, ends_s: float) -> bool:
        """The client's seat instead of the balancer's: caps are for who comes, not for who brings them."""
        async with asyncio.timeout_at(ends_s):
            source = (await receive(accepted)).source
        if not source:
            return True
        opening.seat.leave()
        seat = self._seats.take(source)
        if seat is not None:
            opening.sit(seat)
        return seat is not None

    async def _connect(self, opening: "Opening", accepted: socket.socket, ends_s: float) -> None:
        if self._tls is None:
            await self._loop.connect_accepted_socket(lambda: opening, accepted)
            return
        async with asyncio.timeout_at(ends_s):
            await wait_for_hello(accepted)
            await self._handshakes.begin(opening)
        try:
            await self._loop.connect_accepted_socket(
                lambda: opening,
                accepted,
                ssl=self._tls.context,  # the newest: a renewed certificate is for whoever comes next
                ssl_handshake_timeout=max(0.001, ends_s - self._loop.time()),
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        finally:
            self._handshakes.over(opening)


class Opening(asyncio.Protocol):
    """Holds the place, and the seat, of a protocol until it is known which; then gives it the connection."""

    def __init__(self, make: Make, seat: Seat, at_s: float, tls: Served | None) -> None:
        self._make, self._at_s, self._tls = make, at_s, tls
        self.task: asyncio.Task[None] | None = None
        self.is_made = False
        self.sit(seat)

    def sit(self, seat: Seat) -> None:
        """Take a seat. Whoever has not so much as shaken hands gives way first."""
        self.seat = seat
        seat.lend(self)

    def make_room(self) -> bool:
        """Leave for a newcomer."""
        if self.is_made:
            return False  # it is somebody else's to say
        self.seat.leave()
        self.cancel()
        return True

    def cancel(self) -> None:
        """Give it up."""
        if self.task is not None:
            self.task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand over."""
        transport = cast(asyncio.Transport, transport)
        certificate, alpn = None, None
        if self._tls is not None:
            alpn = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            try:
                certificate = self._tls.shown_by(transport)
            except ValueError as error:
                self._tls.failed(error)
                transport.abort()
                return
        protocol = self._make(Accepted(self.seat, self._at_s, certificate, alpn))
        self.is_made = True
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
