"""The answer stream of a modern call, without what may not stand on it (MCP-05, MCP-07).

A modern server sends no requests and answers one id. What else comes is dropped and counted; all the rest passes as the
very bytes that came. After the answer nothing more is passed on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from mantlet.core.refusal import Refusal
from mantlet.upstreams.client import BodyStream
from mantlet.upstreams.transports.http.verdict import read, same_id
from mantlet.wire.sse import SseSplitter

LINGER_S: Final = 1.0
"""How long a server may take to end its stream after the answer, before it is ended for it."""


class EventFilter(AsyncIterator[bytes]):
    """One stream for one call with the raw `call_id`; `dropped` is called for each event that does not pass.

    A class, because closing an async generator that was never started closes nothing behind it.
    """

    __slots__ = ("_call_id", "_dropped", "_has_answer", "_source", "_splitter")

    def __init__(
        self, source: BodyStream, call_id: bytes | None, max_event_bytes: int, dropped: Callable[[], None]
    ) -> None:
        self._source = source
        self._call_id = call_id
        self._splitter = SseSplitter(max_event_bytes)
        self._dropped = dropped
        self._has_answer = False

    def __aiter__(self) -> "EventFilter":
        return self

    async def __anext__(self) -> bytes:
        if self._has_answer:
            await self._linger()
            raise StopAsyncIteration
        while True:
            chunk = await anext(self._source)  # its end is ours
            try:
                events = self._splitter.feed(chunk)
            except Refusal:
                await self.aclose()
                raise
            if passed := b"".join([event.raw for event in events if self._passes(event.data)]):
                return passed

    async def aclose(self) -> None:
        """Give up the rest, and tell the upstream by closing."""
        await self._source.aclose()

    def _passes(self, data: bytes) -> bool:
        if not data:
            return not self._has_answer
        message = None if self._has_answer else read(data)
        if message is not None:
            if message.is_notification:
                return True
            if message.is_response and same_id(message.id, self._call_id):
                self._has_answer = True
                return True
        self._dropped()
        return False

    async def _linger(self) -> None:
        # Letting the server end it keeps the connection for the next call.
        try:
            async with asyncio.timeout(LINGER_S):
                async for chunk in self._source:
                    for event in self._splitter.feed(chunk):
                        self._passes(event.data)
        except (TimeoutError, Refusal):
            pass  # the call has its answer; how the stream ends changes nothing
        finally:
            await self.aclose()
