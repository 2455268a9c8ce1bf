"""A streaming body made from another one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any


async def aclose(body: bytes | AsyncIterator[bytes]) -> None:
    """Give up the rest of a body, and with it the work behind it. An iterator need not be one that can be closed."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


class Derived:
    """What a generator makes of `source`. Closing it closes both.

    A generator alone is not enough: closed before its first step it never runs, so its `finally` would leave the
    source, and the work upstream that hangs on it, alive.
    """

    __slots__ = ("_made", "_source")

    def __init__(self, made: AsyncGenerator[bytes, None], source: AsyncIterator[bytes]) -> None:
        self._made = made
        self._source = source

    def __aiter__(self) -> "Derived":
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._made)

    async def aclose(self) -> None:
        """Close what is made, then what it is made from."""
        try:
            await self._made.aclose()
        finally:
            await aclose(self._source)


class Lasting:
    """`source`, and `has_ended` once: at its end, when it breaks, or when it is closed."""

    __slots__ = ("_has_ended", "_source")

    def __init__(self, source: AsyncIterator[bytes], has_ended: Callable[[], object]) -> None:
        self._source = source
        self._has_ended: Callable[[], object] | None = has_ended

    def __aiter__(self) -> "Lasting":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._source)
        except BaseException:  # its end, a break, or the cancellation that closes it
            self._leave()
            raise

    async def aclose(self) -> None:
        """Give up the rest."""
        self._leave()
        await aclose(self._source)

    def _leave(self) -> None:
        has_ended, self._has_ended = self._has_ended, None
        if has_ended is not None:
            has_ended()


class Endable:
    """`chunks` until somebody calls `end`, also while another waits for the next chunk.

    `has_ended` is told when it is over, for whatever reason; any number of times.
    """

    __slots__ = ("_chunks", "_has_ended", "_is_over", "_waiting")

    def __init__(self, chunks: AsyncIterator[bytes], has_ended: Callable[[Any], object]) -> None:
        self._chunks = chunks
        self._has_ended = has_ended
        self._waiting: asyncio.Timeout | None = None
        self._is_over = False

    def __aiter__(self) -> "Endable":
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await anext(self._chunks)
        except TimeoutError:
            if self._waiting is None or not self._waiting.expired():
                raise
            await self.aclose()
            raise StopAsyncIteration from None
        except StopAsyncIteration:
            self._has_ended(self)
            raise
        finally:
            self._waiting = None

    def end(self) -> None:
        """No chunk more: whoever waits for one finds the end."""
        self._is_over = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def aclose(self) -> None:
        """Close what is behind it."""
        self._has_ended(self)
        await aclose(self._chunks)
