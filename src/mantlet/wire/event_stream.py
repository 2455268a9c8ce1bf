"""An SSE body that is filled from the event loop and read by whoever sends it: bounded, kept alive, closed once."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.wire.sse import format_event

MAX_QUEUED_BYTES: Final = 1_048_576
"""What one slow reader may leave unread. The final answer of a call comes on top of it."""
ROOM_BYTES: Final = 65_536
"""With less unread, whoever can wait may add more."""
KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = b":\n\n"
HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class EventStream:
    """An asynchronous iterator of SSE chunks for one reader.

    `on_close` is called once: when the stream ended and was read to its end, or when `aclose` gave it up.
    """

    def __init__(self, on_close: Callable[[], None] | None = None, *, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self.on_close = on_close
        self._keep_alive_s = keep_alive_s
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def push(self, message: bytes, id: bytes | None = None) -> bool:  # noqa: A002 - the standard's word
        """Add an event, or give False when the reader is too far behind or gone."""
        chunk = format_event(message, id)
        if self._is_ended or self._size + len(chunk) > MAX_QUEUED_BYTES:
            return False
        self._add(chunk)
        return True

    async def room(self) -> None:
        """Wait until the reader has read on, or is gone: for one writer that can make its own source wait."""
        while self._size > ROOM_BYTES and not self._is_ended:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    def end(self, message: bytes = b"") -> None:
        """The last event, if any, whatever its size, and the end of the stream."""
        if self._is_ended:
            return
        self._is_ended = True
        self._add(format_event(message) if message else b"")

    def _add(self, chunk: bytes) -> None:
        if chunk:
            self._chunks.append(chunk)
            self._size += len(chunk)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks and not self._is_ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._keep_alive_s):
                    await self._reader
            except TimeoutError:
                return KEEP_ALIVE
            finally:
                self._reader = None
        if self._chunks:
            chunk = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            self._wake_writer()
            return chunk
        self._close()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give the stream up; what fills it hears of it at once."""
        self._is_ended = True
        self._chunks.clear()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        self._wake_writer()
        self._close()

    def _wake_writer(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _close(self) -> None:
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
