"""One request and its answer on a stream of a shared connection."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, DeadlineExceeded
from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.framing import framing, too_large
from mantlet.upstreams.client.response import BodyStream, Response

if TYPE_CHECKING:
    from mantlet.upstreams.client.http2.connection import Http2Connection

NEVER_S: Final = float("inf")


class Unprocessed(Exception):
    """The server says that it has not looked at the request: it may be sent again, whatever it asks for."""


class Exchange:
    """Owned by its connection until it ends. `answer` has the response, or its head when it is a stream."""

    __slots__ = (
        "_bounds",
        "_connection",
        "_is_paused",
        "_parts",
        "_response",
        "_size_bytes",
        "_stream",
        "_stream_ends_s",
        "_unreleased",
        "answer",
        "due_s",
        "id",
        "is_over",
        "unsent",
    )

    def __init__(
        self, connection: "Http2Connection", bounds: Bounds, stream_id: int, body: bytes, due_s: float
    ) -> None:
        self.id = stream_id
        self.due_s = due_s
        self.unsent = memoryview(body)
        """What the server's window has not let out."""
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.is_over = False
        self._connection = connection
        self._bounds = bounds
        self._response: Response | None = None
        self._stream: BodyStream | None = None
        self._stream_ends_s = NEVER_S
        self._parts: list[bytes] = []
        self._size_bytes = self._unreleased = 0
        self._is_paused = False

    # --- what comes in ------------------------------------------------------------------------------------------

    def head(self, fields: Iterable[tuple[bytes, bytes]], now_s: float) -> None:
        """A final head. Raises `BadUpstream`."""
        headers = Headers([field for field in fields if field[0][:1] != b":"])
        status = next((value for name, value in fields if name == b":status"), b"")
        bounds = self._bounds
        if not (status.isdigit() and len(status) == 3):
            raise BadUpstream(why="the answer has no status")
        size = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > bounds.max_headers or size > bounds.max_head_bytes:
            raise BadUpstream(why="the answer's head is too large")
        found = framing(int(status), headers)
        self._response = Response(int(status), headers, b"")
        if found.is_stream:
            self._response.body = self._stream = BodyStream(self)
            self._stream_ends_s = now_s + bounds.stream_total_timeout_s
            self._rearm(now_s)
            self._answer(self._response)
        elif found.length is not None and found.length > bounds.max_answer_bytes:
            raise too_large()

    def data(self, data: bytes, flow_bytes: int, now_s: float) -> None:
        """A part of the body. Raises `BadUpstream`."""
        if self._stream is not None:
            self._rearm(now_s)
            if data:
                self._stream.push(data)  # which may pause us
            if self._is_paused:
                self._unreleased += flow_bytes
                self._connection.release(0, flow_bytes)
                return
        else:
            self._parts.append(data)
            self._size_bytes += len(data)
            if self._size_bytes > self._bounds.max_answer_bytes:
                raise too_large()
        self._connection.release(self.id, flow_bytes)

    def end(self) -> None:
        """The answer is complete. Raises `BadUpstream` when it never began."""
        if self._response is None:
            raise BadUpstream(why="the answer has no head")
        self.is_over = True
        if self._stream is not None:
            self._stream.end()
        else:
            self._response.body = b"".join(self._parts)
            self._answer(self._response)

    def fail(self, error: Exception) -> None:
        """It breaks off."""
        if self.is_over:
            return
        self.is_over = True
        if self._stream is not None:
            self._stream.end(error)
        elif not self.answer.done():
            self.answer.set_exception(error)

    @property
    def has_begun(self) -> bool:
        """Whether something of the answer has come."""
        return self._response is not None

    def expire(self, now_s: float) -> None:
        """`due_s` has passed."""
        if self._stream is not None and self._stream.has_unread and now_s < self._stream_ends_s:
            self._rearm(now_s)  # the reader is slow, not the upstream
        else:
            self._connection.give_up(self, DeadlineExceeded("The upstream did not answer in time."))

    def _rearm(self, now_s: float) -> None:
        self.due_s = min(now_s + self._bounds.stream_idle_timeout_s, self._stream_ends_s)
        self._connection.wake_by(self.due_s)

    def _answer(self, response: Response) -> None:
        if not self.answer.done():
            self.answer.set_result(response)

    # --- for `BodyStream` ---------------------------------------------------------------------------------------

    def pause(self) -> None:
        """The reader does not keep up: its window stays closed, those of others do not."""
        self._is_paused = True

    def resume(self) -> None:
        """It has read on."""
        self._is_paused = False
        count, self._unreleased = self._unreleased, 0
        if not self.is_over:
            self._connection.reopen(self.id, count)

    def abort(self) -> None:
        """Nobody waits any more: the server is told, and the connection stays."""
        self._connection.give_up(self, None)
