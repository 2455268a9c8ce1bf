"""One stream: a request, the task that runs the path for it, and its answer under the client's flow control."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.record import Trail
from mantlet.core.refusal import Malformed, ReceiptTimeout, Refusal
from mantlet.listeners.http import request
from mantlet.listeners.http.answer import check_left, has_body, length_without_body
from mantlet.listeners.http.body import Body
from mantlet.listeners.http.door import NEVER_S
from mantlet.listeners.http.exchange import ACLOSE_S
from mantlet.listeners.http.origin import Fields, is_preflight, preflight_fields
from mantlet.listeners.http2 import answer, head
from mantlet.listeners.peer import first_untrusted
from mantlet.wire import http1
from mantlet.wire.answer import unhandled
from mantlet.wire.http2 import abuse, codes

if TYPE_CHECKING:
    from mantlet.listeners.http2.connection import Http2Connection

PROGRESS_BYTES: Final = 16_384
"""What a client must take of an answer within `write_timeout`: a window opened byte by byte is no reading."""
_CONTINUE: Final = [(b":status", b"100")]


class Stream:
    """Owned by its connection. It lives until its task has ended, also when the client has taken the request back."""

    __slots__ = (
        "_arrived",
        "_body",
        "_connection",
        "_expects_continue",
        "_extra",
        "_has_ended",
        "_is_broken",
        "_is_wanted",
        "_room",
        "_unreleased",
        "_verb",
        "body_deadline_s",
        "id",
        "is_answered",
        "is_over",
        "task",
        "trail",
        "write_deadline_s",
    )

    def __init__(self, connection: "Http2Connection", stream_id: int, trail: Trail) -> None:
        self.id = stream_id
        self.trail = trail
        self.task: asyncio.Task[None] | None = None
        self.is_answered = False
        """Whole."""
        self.is_over = False
        """Nothing more may be sent: answered, reset by either side, or its connection is gone."""
        self.body_deadline_s = self.write_deadline_s = NEVER_S
        self._connection = connection
        self._verb = "GET"
        self._extra: Fields = []
        self._arrived: Arrival | None = None
        """Set while its body is still coming in."""
        self._body: Body | None = None
        self._expects_continue = self._is_wanted = self._has_ended = False
        self._is_broken = False
        """The request is malformed as HTTP/2 says it: a stream error, whatever else it is."""
        self._unreleased = 0
        """Bytes of the body that the client was not yet given room for again."""
        self._room: asyncio.Future[None] | None = None

    # --- the request --------------------------------------------------------------------------------------------

    def begin(self, fields: Sequence[tuple[bytes, bytes]], now_s: float, *, has_ended: bool) -> None:
        """Read the head and start on it, or answer why not."""
        self._has_ended = has_ended
        try:
            arrival = self._arrival(fields, now_s)
        except Refusal as refusal:
            self._run(self._serve_refusal(refusal))
            if self._is_broken:
                self._connection.charge(abuse.RESET, "broken requests", now_s)
            return
        if is_preflight(arrival.verb, arrival.headers):
            self._run(self._serve_preflight(arrival))
            return
        if not self._has_ended:
            self._arrived = arrival
        self._run(self._serve(arrival))

    def _arrival(self, fields: Sequence[tuple[bytes, bytes]], now_s: float) -> Arrival:
        connection, trail = self._connection, self.trail
        door = connection.door
        config = door.config
        try:
            known = head.parse(
                fields,
                max_target_bytes=config.max_target_bytes,
                max_headers=config.max_headers,
                max_header_bytes=config.max_header_bytes,
            )
        except Malformed:
            self._is_broken = True
            raise
        self._verb, headers = known.verb, known.headers
        if connection.is_trusted:
            trail.peer = first_untrusted(connection.peer, headers.all(door.forwarded), door.trusted, door.forwarded)
        trail.client_request_id = http1.client_request_id(headers)
        trail.trace_id = http1.trace_id(headers)
        # Without a length the end of the stream says where the body ends; one byte more than allowed is too much.
        is_announced = b"content-length" in headers
        length = known.framing.length if is_announced else door.max_body_bytes + 1
        body = self._body = Body(
            0 if self._has_ended else length,
            config.max_body_bytes,
            self._wanted,
            max_bytes=door.max_body_bytes,
            is_announced=is_announced,
        )
        if not body.is_complete:
            self.body_deadline_s = now_s + config.body_timeout_s
        request.admit(known, door.names, max_body_bytes=door.max_body_bytes)
        self._extra = known.extra
        self._expects_continue = known.framing.expects_continue
        path, query = http1.path_of(known.target, headers.get(b"host"))
        return Arrival(
            known.verb,
            path,
            query,
            headers,
            trail.peer,
            self._read,
            now_s + config.request_timeout,
            trail,
            True,
            peer_certificate=connection.certificate,
            incoming=None if body.is_complete else body,
        )

    async def _read(self) -> bytes:
        assert self._body is not None
        try:
            return await self._body.read()
        finally:
            self.release()

    def _wanted(self) -> None:
        """The path asks for a body that is not whole: the client may go on sending."""
        # Who takes it part by part has taken what came, and gives room for no more than that.
        self._is_wanted = self._body is not None and self._body.is_wanted_whole
        if self._expects_continue:
            self._expects_continue = False
            self._connection.send_head(self.id, _CONTINUE, ends=False)
        self.release()

    def feed(self, data: bytes, flow_bytes: int) -> None:
        """Take a part of the body; `flow_bytes` is what it counts with padding."""
        self._unreleased += flow_bytes
        if self._body is not None:
            self._body.feed(data)
            if self._body.is_complete or self._body.is_failed:
                self.body_deadline_s = NEVER_S
        if self._is_wanted or self._body is None or self._body.is_failed:
            self.release()

    def end(self) -> None:
        """The client has sent all."""
        self._has_ended = True
        self.body_deadline_s = NEVER_S
        if self._body is not None:
            self._body.finish()

    @property
    def is_at_work(self) -> bool:
        """Whether it is being answered. A stranger's request that is still coming in is not: it may take its time."""
        if self._has_ended or self._arrived is None:
            return True
        return self._arrived.caller is not None

    def spoil(self) -> None:
        """Fields behind the body would pass every check made on the head."""
        if self._body is not None:
            self._body.fail(Malformed("Trailer fields are not accepted."))

    def release(self) -> None:
        """Give the client room for what was taken."""
        count, self._unreleased = self._unreleased, 0
        if count:
            self._connection.acknowledge(self.id, count)

    def expire(self, now_s: float) -> None:
        """A deadline has passed (HTTP-05)."""
        if self.body_deadline_s <= now_s:
            self.body_deadline_s = NEVER_S
            if self._body is not None:
                self._body.fail(ReceiptTimeout())
        if self.write_deadline_s <= now_s:
            self.stop(codes.CANCEL)

    # --- the end ------------------------------------------------------------------------------------------------

    def stop(self, code: int | None) -> None:
        """Nobody wants the answer any more: the work for it stops (MCP-07). `code` is told to the client, if any."""
        if code is not None:
            self._reset(code)
        self.is_over = True
        # Once: a second cancellation would strike the clean-up that the first one began.
        task, self.task = self.task, None
        if task is not None:
            task.cancel()

    def _reset(self, code: int) -> None:
        if not self.is_over:
            self.is_over = True
            self._connection.reset(self.id, code)

    # --- the answer ---------------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self.task = self._connection.door.tasks.start(work, "http2 request", tells_itself=True)
        # Not a `finally` of the work: what is taken back in the segment it came in never takes its first step.
        self.task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._connection.done(self)

    async def _serve(self, arrival: Arrival) -> None:
        """Run the path and write its reply; whatever happens, one answer or a reset stream."""
        door = self._connection.door
        try:
            try:
                reply = await door.handler(arrival)
            except Refusal as refusal:
                reply = await door.refuse(self.trail, refusal)
            except Exception as error:  # a task root: one generic 500 (ERR-02)
                door.on_error(error, self.trail)
                reply = unhandled(self.trail)
            self._connection.caller = arrival.caller
            await self._answer(reply)
        except asyncio.CancelledError:
            self._reset(codes.CANCEL)
            raise
        except Exception as error:
            # The answer has begun, or cannot be made: a reset is the only honest sign left.
            door.on_error(error, self.trail)
            self._reset(codes.INTERNAL_ERROR)

    async def _serve_refusal(self, refusal: Refusal) -> None:
        """Record and answer what was refused before there was an `Arrival`."""
        door = self._connection.door
        try:
            await self._answer(await door.refuse(self.trail, refusal))
        except asyncio.CancelledError:
            self._reset(codes.CANCEL)
            raise
        except Exception as error:
            door.on_error(error, self.trail)
            self._reset(codes.INTERNAL_ERROR)

    async def _serve_preflight(self, arrival: Arrival) -> None:
        self._extra = []
        try:
            fields = preflight_fields(arrival.headers, self._connection.door.names)
        except Refusal as refusal:
            await self._serve_refusal(refusal)
            return
        try:
            await self._answer(Reply(204, fields, origin="node"))
        except asyncio.CancelledError:
            self._reset(codes.CANCEL)
            raise

    async def _answer(self, reply: Reply) -> None:
        body = reply.body
        try:
            if reply.upgrade is not None:
                raise answer.UnsendableHeader  # a protocol is agreed on by other means here (section 8.6)
            await self._write_reply(reply)
            if reply.holds:
                self._connection.hold()
        except answer.UnsendableHeader as error:
            self._connection.door.on_error(error, self.trail)
            await self._write_reply(unhandled(self.trail))
        finally:
            if not isinstance(body, bytes) and (aclose := getattr(body, "aclose", None)) is not None:
                async with asyncio.timeout(ACLOSE_S):
                    await aclose()
        if self._is_broken:
            self._reset(codes.PROTOCOL_ERROR)  # after a 400 that says why, as section 8.1.1 allows
        elif not self.is_over and not self._may_finish():
            # Answered before the whole request was there: the client need not send the rest (section 8.1).
            self._connection.reset(self.id, codes.NO_ERROR)
        self.is_answered = self.is_over = True

    def _may_finish(self) -> bool:
        """Whether the client has nothing more to send, or so little that it fits in the window it has.

        Clients send the end of a body in a frame of its own, and some take a reset for their answer's loss.
        """
        body = self._body
        return self._has_ended or (body is not None and (body.is_complete or body.is_drainable))

    async def _write_reply(self, reply: Reply) -> None:
        connection, body = self._connection, reply.body
        has_content = has_body(self._verb, reply.status)
        is_whole = isinstance(body, bytes)
        fields = answer.head(
            reply,
            connection.door.constant,
            length=_length(reply, has_content, self._verb),
            request_id=self.trail.request_id,
            extra=self._extra,
        )
        ends = not self._is_broken
        connection.send_head(self.id, fields, ends=ends and (not has_content or (is_whole and not body)))
        if not has_content:
            return
        if isinstance(body, bytes):
            await self._write(body, ends=ends)
            return
        left = reply.length
        async for chunk in body:
            if left is not None:
                left -= len(chunk)
                check_left(left)
            await self._write(chunk, ends=False)
        check_left(left or 0, is_over=True)
        connection.send_data(self.id, b"", ends=True)

    async def _write(self, data: bytes, *, ends: bool) -> None:
        """Send as fast as the client takes it; its slowness holds the source back, nothing is gathered here."""
        connection = self._connection
        at = since = 0
        view = memoryview(data)
        while at < len(view):
            if connection.is_write_paused:
                await connection.writable()
                continue
            room = connection.room(self.id)
            if room <= 0:
                if self.write_deadline_s == NEVER_S:
                    since = 0
                await self._wait()
                continue
            part = view[at : at + room]
            at += len(part)
            since += len(part)
            if since >= PROGRESS_BYTES:
                since = 0
                self._clear_deadline()
            connection.send_data(self.id, part, ends=ends and at == len(view))
        self._clear_deadline()

    async def _wait(self) -> None:
        connection = self._connection
        if self.write_deadline_s == NEVER_S:
            self.write_deadline_s = connection.door.clock.monotonic() + connection.door.config.write_timeout
            connection.reckon()
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None

    def _clear_deadline(self) -> None:
        if self.write_deadline_s != NEVER_S:
            self.write_deadline_s = NEVER_S
            self._connection.reckon()

    def make_room(self) -> None:
        """The client's window has opened."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _length(reply: Reply, has_content: bool, verb: str) -> int | None:
    if not has_content:
        return length_without_body(verb, reply)
    return len(reply.body) if isinstance(reply.body, bytes) else reply.length
