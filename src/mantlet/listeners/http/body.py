"""The body of one request on its way in: bounded while it is read, not after (HTTP-05, HTTP-06)."""

import asyncio
from collections.abc import Callable
from typing import Final, final

from mantlet.core.refusal import Malformed, PayloadTooLarge, Refusal
from mantlet.listeners.http.chunked import ChunkReader
from mantlet.wire.http1 import CHUNKED

UNREAD_BYTES: Final = 65536
"""How much is taken from the socket before anyone asks for the body: a refused caller costs no more than this."""
DRAIN_BYTES: Final = 65536
"""How much of a body that nobody read is thrown away to keep the connection; for more, closing is cheaper."""
_CHUNKS_AT_ONCE: Final = 16384
_MAX_PARTS: Final = 256


@final
class Whole:
    """A body that came with its head, as nearly all do: there is nothing to receive."""

    __slots__ = ("octets",)

    is_complete: Final = True
    is_drainable: Final = True

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    async def read(self) -> bytes:
        """The body."""
        return self.octets


class Body:
    """Bytes in; out by one `read`, or part by part. Owned by its connection, awaited in the request's task.

    `read_bytes` bounds what `read` gives; `max_bytes`, what whoever takes the parts may `admit`.
    """

    __slots__ = (
        "_chunks",
        "_failure",
        "_held",
        "_is_wanted",
        "_on_wanted",
        "_parts",
        "_read_bytes",
        "_remaining",
        "_size",
        "_waiter",
        "is_complete",
        "length",
        "max_bytes",
    )

    def __init__(
        self,
        length: int,
        read_bytes: int,
        on_wanted: Callable[[], None],
        *,
        max_bytes: int = 0,
        is_announced: bool = True,
    ) -> None:
        self.length = length if is_announced and length != CHUNKED else None
        self.max_bytes = max(read_bytes, max_bytes)
        self.is_complete = length == 0
        self._read_bytes = read_bytes
        self._held = 0
        self._chunks = ChunkReader() if length == CHUNKED else None
        self._remaining = length
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Refusal | None = None
        self._is_wanted = False
        self._on_wanted = on_wanted

    async def read(self) -> bytes:
        """The whole body, once. Raises `PayloadTooLarge`, `ReceiptTimeout` or `Malformed`."""
        if self.max_bytes > self._read_bytes:
            self.admit(self._read_bytes)
        if self._failure is None and not self.is_complete:
            self._is_wanted = True
            self._waiter = asyncio.get_running_loop().create_future()
            self._on_wanted()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._failure is not None:
            raise self._failure
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def admit(self, max_bytes: int) -> None:
        """As `core.call.Incoming`."""
        self.max_bytes = max_bytes
        if self._size > max_bytes or (self.length is not None and self.length > max_bytes):
            refusal = PayloadTooLarge(f"The body is larger than {max_bytes} bytes.")
            self.fail(refusal)
            raise refusal

    async def part(self) -> bytes:
        """As `core.call.Incoming`."""
        while not self._parts and self._failure is None and not self.is_complete:
            self._waiter = asyncio.get_running_loop().create_future()
            self._on_wanted()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._failure is not None:
            raise self._failure
        parts, self._parts = self._parts, []
        self._held = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body and give back what stands after it."""
        if self._failure is not None:
            return b""
        if self._chunks is None:
            surplus = data[self._remaining :] if len(data) > self._remaining else b""
            self._add(data[: self._remaining] if surplus else data)
            self._remaining -= len(data) - len(surplus)
            done = self._remaining == 0
        else:
            try:
                parts, surplus = self._chunks.feed(data)
            except Malformed as refusal:
                self.fail(refusal)
                return b""
            for part in parts:
                self._add(part)
            done = self._chunks.is_done
        if done and self._failure is None:
            self.is_complete = True
            self._wake()
        elif not self._is_wanted:
            self._wake()  # whoever takes it part by part
        return surplus

    def finish(self) -> None:
        """The body has ended where its framing says so (HTTP/2), whatever length was allowed for."""
        if self._failure is None and not self.is_complete:
            self.is_complete = True
            self._wake()

    def fail(self, refusal: Refusal) -> None:
        """`read` raises `refusal`, now or when it is called; what else comes is dropped."""
        if self._failure is None and not self.is_complete:
            self._failure = refusal
            self._parts.clear()
            self._wake()

    def discard(self) -> None:
        """Nobody will read: keep counting, keep nothing."""
        self._parts.clear()
        self._size = self._held = 0
        self.max_bytes = DRAIN_BYTES
        self._is_wanted = True

    @property
    def is_failed(self) -> bool:
        """Whether the end of this body, and so the next request's beginning, is unknown."""
        return self._failure is not None

    @property
    def wanted_bytes(self) -> int:
        """How much may be fed at once without much of it coming back."""
        return _CHUNKS_AT_ONCE if self._chunks is not None else self._remaining

    @property
    def is_waiting(self) -> bool:
        """Whether more bytes must not be taken until somebody asks for the body."""
        return not self._is_wanted and self._held >= UNREAD_BYTES

    @property
    def is_wanted_whole(self) -> bool:
        """Whether all of it may come at once: somebody reads it, or nobody ever will."""
        return self._is_wanted

    @property
    def is_drainable(self) -> bool:
        """Whether throwing the rest away is cheap and its size known."""
        return self._failure is None and self._chunks is None and self._remaining <= DRAIN_BYTES

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        self._held += len(part)
        if self._size > self.max_bytes:
            self.fail(PayloadTooLarge(f"The body is larger than {self.max_bytes} bytes."))
            return
        self._parts.append(part)
        if len(self._parts) >= _MAX_PARTS:
            # A body of one-byte segments would cost some fifty bytes of object a byte.
            self._parts = [b"".join(self._parts)]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
