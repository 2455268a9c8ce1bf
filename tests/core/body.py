"""A streaming body in a test's hand."""

from collections.abc import AsyncIterator


class Body(AsyncIterator[bytes]):
    """Gives its chunks; knows whether it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.is_closed = False

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)

    async def aclose(self) -> None:
        self.is_closed = True
