"""One call's receiving end: first a future, and a stream from the first notification on."""

import asyncio
from dataclasses import dataclass

from mantlet.core.refusal import Refusal
from mantlet.wire import answer, jsonrpc
from mantlet.wire.event_stream import EventStream


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; `code` is that of an error."""

    body: bytes
    code: int | None


class Exchange:
    """Waits for the answer to one call. `first` gives the answer, or None once `stream` holds what comes instead.

    A call that cannot stream (its client does not accept it) hears no notifications. After the answer, a loss or a
    `close`, nothing changes any more.
    """

    __slots__ = ("_can_stream", "_raw_id", "first", "stream")

    def __init__(self, raw_id: bytes, *, can_stream: bool = False) -> None:
        self.first: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.stream: EventStream | None = None
        self._can_stream = can_stream
        self._raw_id = raw_id

    def on_answer(self, body: bytes, code: int | None, /) -> None:
        """The whole answer, or the end of the stream."""
        if not self.first.done():
            self.first.set_result(Answer(body, code))
        elif self.stream is not None:
            self.stream.end(body)

    def on_note(self, body: bytes, /) -> bool:
        """An event; the first one makes the reply a stream. A reader too far behind misses events, not the answer."""
        if self.stream is not None:
            return self.stream.push(body)
        if not self._can_stream or self.first.done():
            return False
        self.stream = EventStream()  # most calls never need one
        is_taken = self.stream.push(body)
        self.first.set_result(None)
        return is_taken

    def on_lost(self, refusal: Refusal, /) -> None:
        """A refusal, or as much of it as a stream can still tell."""
        if not self.first.done():
            self.first.set_exception(refusal)
        elif self.stream is not None:
            self.stream.end(jsonrpc.error(self._raw_id, answer.code_of(refusal), refusal.detail))
