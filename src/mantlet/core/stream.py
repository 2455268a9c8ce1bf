"""A streaming body made from another one."""

from collections.abc import AsyncGenerator, AsyncIterator


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
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()
