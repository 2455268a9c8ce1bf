"""Opening a connection that stays: the address through the egress hook, TLS, pins, and a watch over dead peers."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.upstreams.client import Resolve, TlsConfig
from mantlet.upstreams.client.reach import reach
from mantlet.upstreams.client.tls import context, read_pins, spki_digest
from mantlet.upstreams.client.trust import trust, why_refused

_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 120_000))
"""Seconds, and milliseconds for the last: a host that vanished is found within a minute when nothing is said, and
within two when what was said is not acknowledged (the system alone would take a quarter of an hour)."""


class Dialled(Protocol):
    """What a dialled protocol must also be able to do."""

    def abort(self) -> None:
        """Close at once, whether or not it ever opened."""
        ...


class Dialer:
    """One server's address. Made at load, with the one TLS context of all its connections.

    `resolve` is the egress guard's: it gives the checked addresses to connect to. `alpn` is what TLS asks for, if
    anything. Raises `ValueError` or `OSError` for TLS settings that cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: TlsConfig | None,
        resolve: Resolve | None = None,
        alpn: Sequence[str] = (),
    ) -> None:
        self._host = host
        self._port = port
        self._resolve = resolve
        self._tls: ssl.SSLContext | None = None
        self._trust = None if tls is None else trust(tls, alpn, SYSTEM)
        self._pins = frozenset[bytes]()
        if tls is not None:
            self._tls = context(tls, alpn) if self._trust is None else self._trust.context
            self._pins = read_pins(tls.pins)

    async def dial(self, protocol: Dialled) -> None:
        """Connect `protocol`, an `asyncio.Protocol`. Raises `UpstreamUnavailable`, or `BadUpstream` for a certificate.

        A cancelled dial leaves nothing open.
        """
        made: Any = protocol
        if self._trust is not None and self._trust.look():
            self._tls = self._trust.context
        try:
            reached = await reach(self._host, self._port, self._resolve)
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: made, sock=reached, ssl=self._tls, server_hostname=self._host if self._tls else None
            )
        except asyncio.CancelledError:
            protocol.abort()  # uvloop may have opened it in this very turn, and would not tell of its end
            raise
        except ssl.SSLCertVerificationError as error:
            raise BadUpstream(why=why_refused(self._trust, error)) from error
        except OSError as error:
            raise UpstreamUnavailable(why=f"no connection: {error}") from error
        if self._pins and not self._is_pinned(transport):
            protocol.abort()  # before the first byte is written (TLS-03)
            raise BadUpstream(why="its key is not one of the pinned")
        with suppress(OSError):  # it ended already, which the protocol is about to be told
            _keep_alive(transport.get_extra_info("socket"))

    def _is_pinned(self, transport: asyncio.BaseTransport) -> bool:
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certificate is not None and spki_digest(certificate) in self._pins


def _keep_alive(connected: Any) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if (option := getattr(socket, name, None)) is not None:  # what this system does not know it does its own way
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
