"""One request and its answer: the task that runs the path and writes what comes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal, UpgradeRequired
from mantlet.listeners.http import answer
from mantlet.listeners.http.body import Body, Whole
from mantlet.listeners.http.origin import Fields
from mantlet.wire.answer import unhandled

if TYPE_CHECKING:
    from mantlet.listeners.http.connection import Connection
    from mantlet.listeners.http.request import Request

ACLOSE_S: Final = 5.0
"""How long a stream's clean-up may take before it is left to its own."""


class Exchange:
    """Owned by its connection, one at a time. Its answer is written by its own task."""

    __slots__ = ("arrival", "body", "closes", "connection", "expects_continue", "extra", "is_http10", "trail", "verb")

    def __init__(self, connection: "Connection", trail: Trail) -> None:
        self.connection = connection
        self.trail = trail
        # What holds until a head is understood: nothing after it can be trusted to be a request.
        self.body: Body | Whole | None = None
        self.verb = "GET"
        self.is_http10 = False
        self.closes = True
        self.expects_continue = False
        self.extra: Fields = []
        self.arrival: Arrival | None = None
        """Set while its body is still coming in."""

    def begin(self, head: "Request") -> None:
        """Hear what the head says of the answer."""
        framing = head.framing
        self.verb = head.verb
        self.is_http10 = head.is_http10
        self.closes = not framing.is_persistent or head.verb == "CONNECT"
        self.expects_continue = framing.expects_continue

    async def serve(self, arrival: Arrival) -> None:
        """Run the path and write its reply; whatever happens, one answer or the end of the connection."""
        connection = self.connection
        try:
            try:
                reply = await connection.door.handler(arrival)
            except Refusal as refusal:
                reply = await connection.door.refuse(self.trail, refusal)
            except Exception as error:  # a task root: one generic 500 (ERR-02)
                connection.door.on_error(error, self.trail)
                reply = unhandled(self.trail)
            connection.caller = arrival.caller
            if reply.upgrade is not None and self.is_http10:  # it has no such thing (RFC 9110 section 7.8)
                reply = await connection.door.refuse(self.trail, UpgradeRequired())
            if reply.upgrade is not None:
                self._switch(reply)
            elif type(reply.body) is bytes:
                self._send(reply, reply.body)
            else:
                await self._stream(reply)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:
            # The answer has begun, or cannot be made: a cut connection is the only honest sign left.
            connection.door.on_error(error, self.trail)
            connection.abort()

    async def serve_reply(self, reply: Reply) -> None:
        """Write an answer of the listener's own."""
        self._send(reply, reply.body if isinstance(reply.body, bytes) else b"")

    def tell(self, reply: Reply, body: bytes) -> None:
        """Write an answer that others got before, at once: what is read only to be refused is not worth a task."""
        connection = self.connection
        connection.caller = None
        if self.extra or self.is_http10 or self.verb == "HEAD" or self._closes_after(reply):
            self._send(reply, body)
        else:
            connection.write(connection.door.canned.of(reply, body))
            connection.finish(False)

    async def serve_refusal(self, refusal: Refusal) -> None:
        """Record and answer what was refused before there was an `Arrival`."""
        door = self.connection.door
        try:
            reply = await door.refuse(self.trail, refusal)
            self._send(reply, reply.body if isinstance(reply.body, bytes) else b"")
        except asyncio.CancelledError:
            self.connection.abort()
            raise
        except Exception as error:
            door.on_error(error, self.trail)
            self.connection.abort()

    def _send(self, reply: Reply, body: bytes) -> None:
        connection = self.connection
        closes = self._closes_after(reply)
        has_body = answer.has_body(self.verb, reply.status)
        length = len(body) if has_body else answer.length_without_body(self.verb, reply)
        framing = b"" if length is None else b"content-length: %d\r\n" % length
        try:
            head = self._head(reply, framing, closes)
        except answer.UnsendableHeader as error:
            connection.door.on_error(error, self.trail)
            reply = unhandled(self.trail)
            body = reply.body if isinstance(reply.body, bytes) else b""
            head = self._head(reply, b"content-length: %d\r\n" % len(body), closes)
        connection.write(head + body if has_body else head)
        if reply.holds:
            connection.hold(closes)
        else:
            connection.finish(closes)

    def _switch(self, reply: Reply) -> None:
        connection = self.connection
        assert reply.upgrade is not None
        connection.write(answer.switching(reply, connection.door.constant, self.trail.request_id, self.extra))
        connection.hand_over(reply.upgrade)

    async def _stream(self, reply: Reply) -> None:
        """Chunk by chunk as they come; the client's slowness holds the source back, nothing is gathered here."""
        connection = self.connection
        body = reply.body
        assert not isinstance(body, bytes)
        try:
            is_plain = self.is_http10
            closes = self._closes_after(reply) or is_plain
            has_body = answer.has_body(self.verb, reply.status)
            is_chunked = has_body and not is_plain and reply.length is None
            framing = b"transfer-encoding: chunked\r\n" if is_chunked else b""
            if reply.length is not None and has_body:
                framing = b"content-length: %d\r\n" % reply.length
            try:
                head = self._head(reply, framing, closes)
            except answer.UnsendableHeader as error:
                connection.door.on_error(error, self.trail)
                failed = unhandled(self.trail)
                self._send(failed, failed.body if isinstance(failed.body, bytes) else b"")
                return
            connection.write(head)
            if has_body:
                left = reply.length
                async for chunk in body:
                    if connection.is_write_paused:
                        await connection.writable()
                    if left is not None:
                        left -= len(chunk)
                        answer.check_left(left)
                    if chunk:
                        connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
                if is_chunked:
                    connection.write(answer.LAST_CHUNK)
                answer.check_left(left or 0, is_over=True)
        finally:
            await _close(body)
        connection.finish(closes)

    def _head(self, reply: Reply, framing: bytes, closes: bool) -> bytes:
        return answer.head(
            reply,
            self.connection.door.constant,
            framing,
            request_id=self.trail.request_id,
            extra=self.extra,
            is_http10=self.is_http10,
            closes=closes,
        )

    def _closes_after(self, reply: Reply) -> bool:
        if self.closes or self.connection.door.is_leaving:
            return True
        body = self.body
        if body is not None and not body.is_complete and (self.expects_continue or not body.is_drainable):
            # What the client still sends, or whether it will, is not worth finding out.
            return True
        return reply.origin == "node" and reply.header(b"connection") == b"close"


async def _close(body: AsyncIterator[bytes]) -> None:
    aclose = getattr(body, "aclose", None)
    if aclose is not None:
        async with asyncio.timeout(ACLOSE_S):
            await aclose()
