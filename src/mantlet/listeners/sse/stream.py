"""The stream of one client: the carrier of its conversation, and the body of the reply that never ends."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.caller import Caller
from mantlet.listeners.messages.carrier import Ending, Gate, Terms
from mantlet.listeners.messages.conversation import Conversation
from mantlet.wire.event_stream import KEEP_ALIVE, KEEP_ALIVE_S
from mantlet.wire.sse import format_event

ROOM_BYTES: Final = 65_536
"""With more unread, whoever answers waits for the client to read on."""
MAX_QUEUED_BYTES: Final = 1_048_576
"""With more unread, a client that goes on posting what is turned away has its stream ended."""


class SseStream:
    """An asynchronous iterator of chunks, read by whoever sends the reply. `aclose` ends the conversation."""

    def __init__(self, terms: Terms, caller: Caller, path: str, peer: str) -> None:
        self.conversation = Conversation(terms, self, caller, path, peer)
        self.on_close: Callable[[], object] | None = None
        """Called once, when the conversation is over."""
        self._gate = Gate()
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_ended = False
        self._reader: asyncio.Future[None] | None = None

    def begin(self, url: str) -> None:
        """Tell the client where to post."""
        self._add(b"event: endpoint\ndata: %b\n\n" % url.encode())

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not keep up."""
        return self._gate.is_shut

    def send(self, message: bytes) -> None:
        """One event."""
        if self._size > MAX_QUEUED_BYTES:
            self.close(Ending.ABUSE)
        elif not self._is_ended:
            self._add(format_event(message))

    async def writable(self) -> None:
        """Wait until the client has read on."""
        await self._gate.passed()

    def room(self) -> None:
        """Nobody waits: what does not fit is refused when it is posted."""

    def close(self, ending: Ending) -> None:
        """End the stream after what is in it."""
        if not self._is_ended:
            self._is_ended = True
            self.conversation.end()
            if self.on_close is not None:
                self.on_close()
            self._gate.open()
            self._wake()

    def _add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > ROOM_BYTES:
            self._gate.shut()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def __aiter__(self) -> "SseStream":
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks and not self._is_ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await self._reader
            except TimeoutError:
                return KEEP_ALIVE
            finally:
                self._reader = None
        if not self._chunks:
            raise StopAsyncIteration
        chunk = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._gate.open()
        return chunk

    async def aclose(self) -> None:
        """The client is gone."""
        self.close(Ending.DONE)
        self._chunks.clear()
