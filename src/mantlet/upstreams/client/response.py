"""What comes back: a status, headers, and a body that is whole or comes as it comes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from mantlet.core.headers import Headers

HIGH_WATER_BYTES: Final = 262_144
"""Unread bytes of one stream at which reading stops: about one read of the loop."""
LOW_WATER_BYTES: Final = 65_536


class Source(Protocol):
    """The connection a stream comes from."""

    def pause(self) -> None:
        """Stop reading."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def abort(self) -> None:
        """Close at once: this is how the upstream learns that nobody waits any more."""
        ...


class BodyStream(AsyncIterator[bytes]):
    """Chunks in the order and size in which they came; for one reader.

    Ends when the body does, raises `BadUpstream` or `DeadlineExceeded` when it breaks off. `aclose`, and cancelling
    whoever waits for a chunk, closes the connection.
    """

    __slots__ = ("_chunks", "_error", "_is_paused", "_size_bytes", "_source", "_waiter")

    def __init__(self, source: Source) -> None:
        self._source: Source | None = source
        self._chunks: deque[bytes] = deque()
        self._size_bytes = 0
        self._is_paused = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def has_unread(self) -> bool:
        """Whether the reader is behind; silence is then not the upstream's."""
        return bool(self._chunks)

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._chunks:
                chunk = self._chunks.popleft()
                self._size_bytes -= len(chunk)
                if self._is_paused and self._size_bytes < LOW_WATER_BYTES and self._source is not None:
                    self._is_paused = False
                    self._source.resume()
                return chunk
            if self._error is not None:
                raise self._error
            if self._source is None:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                await self.aclose()
                raise
            finally:
                self._waiter = None

    async def aclose(self) -> None:
        """Give up the rest. Nothing happens when the body has ended already."""
        source, self._source = self._source, None
        self._chunks.clear()
        self._size_bytes = 0
        if source is not None:
            source.abort()
        self._wake()

    def push(self, chunk: bytes) -> None:
        """Called by the connection for each part of the body."""
        if self._source is None:
            return
        self._chunks.append(chunk)
        self._size_bytes += len(chunk)
        if self._size_bytes > HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self._source.pause()
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Called by the connection once: the body is complete, or broke off with `error`."""
        if self._source is not None:
            self._source = None
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True)
class Response:
    """One answer. Whoever gets a stream and does not read it to its end must `aclose` it."""

    status: int
    headers: Headers
    body: bytes | BodyStream
