"""A channel and its mux joined: calls go out, answers find their way, and when the channel ends so do all calls."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.core.refusal import DeadlineExceeded, Overloaded, UpstreamUnavailable
from mantlet.upstreams.transports.channel.channel import LineChannel
from mantlet.upstreams.transports.channel.exchange import Answer, Exchange
from mantlet.upstreams.transports.channel.mux import Mux, Owner, Pending, Receiver
from mantlet.wire import jsonrpc

NODE: Final[Owner] = ("node",)
"""The owner of what the node asks on its own account; no caller's key has one part."""


class Link:
    """One channel for as long as it lives. Calls on a closed link are refused, nothing is sent twice."""

    def __init__(self, mux: Mux) -> None:
        self.mux = mux
        self.closed = asyncio.Event()
        self.why = ""
        """Why it closed."""
        self.heard = 0
        """Lines that came: signs of life."""
        self.watchers: set[Callable[[str], None]] = set()
        """Who else hears, once, that the link closed."""
        self._channel: LineChannel | None = None

    def attach(self, channel: LineChannel) -> None:
        """Say where lines go."""
        self._channel = channel

    def open(
        self,
        body: bytes,
        raw_id: bytes,
        owner: Owner,
        receiver: Receiver,
        *,
        token: bytes | None = None,
        is_listen: bool = False,
        wants_log: bool = False,
    ) -> Pending:
        """Send a request. Raises `Overloaded` or `UpstreamUnavailable`; then nothing was sent."""
        channel = self._channel
        if channel is None or self.closed.is_set():
            raise UpstreamUnavailable(why=self.why or "the channel is not open")
        pending, line = self.mux.open(
            body, raw_id, owner, receiver, token=token, is_listen=is_listen, wants_log=wants_log
        )
        if not channel.write_line(line):
            self.mux.unsent(pending)
            raise Overloaded(why="the server does not read as fast as it is written to")
        return pending

    def give_up(self, pending: Pending, reason: str) -> bool:
        """Forget a call and tell the server to stop; False when it has ended already."""
        line = self.mux.give_up(pending, reason)
        if line is None:
            return False
        self._write(line)
        return True

    def expire(self, pending: Pending) -> None:
        """A call's deadline has passed (RES-03)."""
        if self.give_up(pending, "deadline exceeded"):
            pending.receiver.on_lost(DeadlineExceeded())

    def notify(self, message: Mapping[str, Any]) -> None:
        """Send a notification of the node's own."""
        self._write(jsonrpc.encode(message) + b"\n")

    def pass_on(self, line: bytes) -> bool:
        """Send a client's notification or response, already one line with its end; False when it cannot be sent."""
        return self._write(line)

    async def ask(self, method: str, params: Mapping[str, Any], timeout_s: float) -> Answer:
        """A request of the node's own; raises `DeadlineExceeded` or what ends the link."""
        body = jsonrpc.encode({"jsonrpc": "2.0", "method": method, "params": params})
        exchange = Exchange(b"0")
        pending = self.open(body, b"0", NODE, exchange)
        try:
            async with asyncio.timeout(timeout_s):
                answered = await exchange.first
        except TimeoutError as error:
            raise DeadlineExceeded(why=f"no answer to {method} within {timeout_s:g} s") from error
        finally:
            self.give_up(pending, "deadline exceeded")
        assert answered is not None  # without a stream there is nothing else
        return answered

    def on_line(self, line: bytes, /) -> None:
        """A line came."""
        self.heard += 1
        reply = self.mux.feed(line)
        if reply is not None:
            self._write(reply)

    def on_oversized(self, head: bytes, /) -> None:
        """A line was too long."""
        self.mux.oversized(head)

    def on_closed(self, why: str, /) -> None:
        """The channel ended: every call in flight fails at once."""
        self.why = why
        self.closed.set()
        self.mux.lose_all(why)
        for watcher in list(self.watchers):
            watcher(why)

    def _write(self, line: bytes) -> bool:
        # What is not a call may be lost when the channel is full: it is bounded, and nobody waits for it.
        return self._channel is not None and not self.closed.is_set() and self._channel.write_line(line)
