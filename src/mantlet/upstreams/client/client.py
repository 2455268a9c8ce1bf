"""Requests to one upstream over kept connections.

It follows no redirect, keeps no cookie and reads no environment. Retrying is left to those who know what a call means,
with one exception: a connection that the server closed while it rested is replaced before anything is written, and a
request that may be repeated is written once more when the server's end crossed it on the way (RFC 9112 section 9.3.1).
"""

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.upstreams.client.config import Bounds, TlsConfig
from mantlet.upstreams.client.connection import Connection, Vanished
from mantlet.upstreams.client.endpoint import Endpoint
from mantlet.upstreams.client.http2 import require
from mantlet.upstreams.client.pool import Pool
from mantlet.upstreams.client.reach import Resolve, reach
from mantlet.upstreams.client.relay import Relay
from mantlet.upstreams.client.response import Response
from mantlet.upstreams.client.tls import context, read_pins, spki_digest
from mantlet.upstreams.client.trust import trust, why_refused

if TYPE_CHECKING:
    from mantlet.upstreams.client.http2.connection import Http2Connection
    from mantlet.upstreams.client.http2.multiplexed import Multiplexed


HTTP_1: Final = ("http/1.1",)
HTTP_2: Final = ("h2", "http/1.1")


class HttpClient:
    """One upstream's HTTP client. Raises `ValueError` or `OSError` at once for TLS settings that cannot be used."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        bounds: Bounds = Bounds(),
        tls: TlsConfig = TlsConfig(),
        resolve: Resolve | None = None,
        http2: bool = False,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`http2`: offer it when TLS is made; a server that does not take it is spoken to in HTTP/1.1.

        `tls_context` is one made of this very `tls`, for clients that share it.
        """
        self.endpoint = endpoint
        self._bounds = bounds
        self._clock = clock
        self._resolve = resolve
        self._pins = read_pins(tls.pins)
        # One with revocation lists is renewed, and so is each client's own.
        self._trust = trust(tls, HTTP_1, clock) if endpoint.is_tls else None
        self._tls: ssl.SSLContext | None = None
        if endpoint.is_tls:
            self._tls = tls_context or context(tls) if self._trust is None else self._trust.context
        self.pool = Pool(self._connect, bounds, clock)
        self._multiplexed: Multiplexed | None = None
        if http2 and endpoint.is_tls:
            self._multiplexed = self._open_multiplexed()
            self._trust2 = trust(tls, HTTP_2, clock)
            self._tls2 = context(tls, HTTP_2) if self._trust2 is None else self._trust2.context

    async def send(
        self, message: bytes, *, deadline_s: float, is_repeatable: bool = False, relay: Relay | None = None
    ) -> Response:
        """Send one request (see `request.head`), whole unless `relay` brings its body, and give its response.

        `deadline_s`, on the monotonic clock, is for the whole body, or for the head of a stream. Raises
        `UpstreamUnavailable`, `Overloaded` (nothing was sent), `BadUpstream` or `DeadlineExceeded`. Cancelling the
        caller closes the connection, and that cancels the work upstream.
        """
        if self._trust is not None and self._trust.look():
            self._renew()
        if self._multiplexed is not None and not self._multiplexed.is_off:
            response = await self._multiplexed.send(message, deadline_s=deadline_s, is_repeatable=is_repeatable)
            if response is not None:
                return response
        pool = self.pool
        while True:
            connection = None if pool.waiting else pool.take()
            if connection is None:
                connection = await pool.acquire(deadline_s)
            is_reused = connection.uses > 0
            answer = connection.exchange(message, deadline_s, relay)
            try:
                return await answer
            except Vanished as error:
                if not (is_repeatable and is_reused):
                    raise BadUpstream(why=str(error)) from error
                is_repeatable = False
            except asyncio.CancelledError:
                # The connection may have another's answer to bring by now: then ours came, and it is not to be touched.
                if connection.answer is answer:
                    connection.abort()
                if not answer.cancelled() and answer.done():
                    answer.exception()
                raise

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """For clients of the same rules; None where TLS is not spoken."""
        return self._tls

    def _renew(self) -> None:
        """There are new revocation lists: nothing is sent any more on connections that were made by the old ones."""
        assert self._trust is not None
        self._tls = self._trust.context
        self.pool.retire()
        if self._multiplexed is not None and self._trust2 is not None:
            # Looked at by the same client in the same turn, but for what was not whole yet: the next look finds that.
            self._trust2.look()
            self._tls2 = self._trust2.context
            self._multiplexed.retire()

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        if self._multiplexed is not None:
            await self._multiplexed.close()
        await self.pool.close()

    def _open_multiplexed(self) -> "Multiplexed":
        require()
        from mantlet.upstreams.client.http2.multiplexed import Multiplexed

        return Multiplexed(self._connect2, self._bounds, self._clock)

    async def _connect(self, pool: Pool) -> Connection:
        while True:
            tls, connection = self._tls, Connection(pool, self._bounds, self._clock)
            await self._open(connection, tls)
            if tls is self._tls:
                return connection
            connection.abort()  # new revocation lists came in the middle of its handshake

    async def _connect2(self, owner: "Multiplexed") -> "Http2Connection":
        from mantlet.upstreams.client.http2.connection import Http2Connection

        while True:
            tls, connection = self._tls2, Http2Connection(owner, self._bounds, self._clock)
            await self._open(connection, tls)
            if tls is self._tls2:
                return connection
            connection.abort()  # as above

    async def _open(self, connection: "Connection | Http2Connection", tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        endpoint = self.endpoint
        try:
            reached = await reach(endpoint.host, endpoint.port, self._resolve)
            await loop.create_connection(
                lambda: connection, sock=reached, ssl=tls, server_hostname=endpoint.host if tls else None
            )
        except asyncio.CancelledError:
            connection.abort()  # uvloop may have opened it in this very turn, and would not tell of its end
            raise
        except ssl.SSLCertVerificationError as error:
            raise BadUpstream(why=why_refused(self._trust, error)) from error
        except OSError as error:
            raise UpstreamUnavailable(why=f"no connection: {error}") from error
        if self._pins:
            self._check_pins(connection)

    def _check_pins(self, connection: "Connection | Http2Connection") -> None:
        """Before the first byte of a request is written (TLS-03)."""
        certificate = connection.peer_certificate()
        if certificate is None or spki_digest(certificate) not in self._pins:
            connection.abort()
            raise BadUpstream(why="its key is not one of the pinned")
