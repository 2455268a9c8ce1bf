"""A TCP socket of lines, and the `auth` messages that come before, and from time to time between, those of MCP."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.refusal import InvalidJson, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.lines import LineSplitter
from mantlet.upstreams.transports.channel.socket import ABORT_GRACE_S, SocketChannel
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.wire import jsonrpc

AUTH_TIMEOUT_S: Final = 10.0
RENEW_AT: Final = 0.8
"""The part of a session's life after which it is renewed: time enough for another try on a new connection."""
MAX_RENEWAL_S: Final = 120.0
"""It is renewed at least so often: a node's door closes a connection on which nothing is said for minutes."""
MIN_RENEWAL_S: Final = 1.0
"""A server whose sessions are shorter than this ends them, rather than have us do nothing but authenticate."""
_AUTH: Final = b'"mantlet-auth-'
"""How our ids of `auth` begin; those of calls are numbers."""


class TcpChannel(SocketChannel):
    """An `OwnedChannel`, once it is connected."""

    def __init__(self, config: TcpServerConfig, reader: LineReader) -> None:
        super().__init__(config.max_unsent_bytes)
        self._config = config
        self._reader = reader
        self._splitter = LineSplitter(config.max_line_bytes)
        self._token: Secret | None = None
        self._authentications = 0
        self._authenticated: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Of the answer to `auth` while one is due, of the next `auth` at other times."""

    def account(self) -> str:
        """Which it was; how it ended has been said already."""
        return f"{self._config.host}:{self._config.port}"

    # --- what the owner does

    async def authenticate(self, token: Secret) -> None:
        """Say `auth`, and again before each session ends. Raises `UpstreamUnavailable`."""
        self._token = token
        self._ask()
        if self._authenticated is not None:
            await self._authenticated

    def write_line(self, line: bytes) -> bool:
        """As `LineChannel` says."""
        return not self._why and self._writer.write(line)

    async def stop(self, timeout_s: float) -> None:
        """Hang up: what waits is sent first, within `timeout_s`."""
        try:
            if self._transport is not None:
                self._writer.resume()
                self._transport.close()
            await self._ends_within(timeout_s)
        finally:
            self.abort()
        await self._ends_within(ABORT_GRACE_S)

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Bytes become lines."""
        for line in self._splitter.feed(data):
            if self._authenticated is not None and _AUTH in line:
                self._answered(line)
            else:
                self._reader.on_line(line)
        if self._splitter.oversized:
            heads, self._splitter.oversized = self._splitter.oversized, []
            for head in heads:
                self._reader.on_oversized(head)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._close(f"the connection ended: {exc}" if exc else "the server closed the connection")
        self._writer.close()
        self._ended.set()

    def _close(self, why: str) -> None:
        if self._why:
            return
        self._why = why
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._authenticated = self._authenticated, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(UpstreamUnavailable(why=why))
            waiting.exception()  # a renewal has nobody who waits for it
        self._reader.on_closed(why)

    # --- auth

    def _ask(self) -> None:
        if self._why or self._token is None:
            return
        self._authentications += 1
        self._authenticated = self._loop.create_future()
        self._timer = self._loop.call_later(AUTH_TIMEOUT_S, self._fail, "the server does not answer auth")
        params = {"token": self._token.reveal()}
        if self._config.server:
            params["server"] = self._config.server
        message = {"jsonrpc": "2.0", "id": f"mantlet-auth-{self._authentications}", "method": "auth", "params": params}
        if not self._writer.write(jsonrpc.encode(message) + b"\n"):
            self._fail("the server does not read")

    def _answered(self, line: bytes) -> None:
        try:
            message = jsonrpc.decode(line)
        except InvalidJson:
            message = None
        if type(message) is not dict or message.get("id") != f"mantlet-auth-{self._authentications}":
            self._reader.on_line(line)  # it only speaks of one
            return
        result = message.get("result")
        if type(result) is not dict:
            self._fail(f"the server refused auth: {str(message.get('error'))[:200]}")
            return
        waiting, self._authenticated = self._authenticated, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_renewal_s(result), self._ask)

    def _fail(self, why: str) -> None:
        self._close(why)
        self._transport.abort()


def _renewal_s(result: Mapping[str, Any]) -> float:
    for name in ("expires_in", "expiresIn"):
        expires_in_s = result.get(name)
        if isinstance(expires_in_s, int | float) and expires_in_s > 0:
            return min(MAX_RENEWAL_S, max(MIN_RENEWAL_S, expires_in_s * RENEW_AT))
    return MAX_RENEWAL_S
