"""What every merged stream has: a place, a task that hears the servers, an end that ends them all."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import NotAcceptable
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.places import Places
from mantlet.wire.event_stream import HEADERS, EventStream
from mantlet.wire.mcp.accepted import accepts_stream

MAX_LIFE_S: Final = 86_400.0
"""A stream without an end of its own; after a day its client opens a new one."""


def refuse_no_stream(call: Call) -> None:
    """Raise `NotAcceptable` unless the client takes an event stream."""
    if not accepts_stream(call.arrival):
        raise NotAcceptable("A stream needs Accept: text/event-stream.")


class Merged:
    """Opens streams that are filled by one task each."""

    def __init__(self, tasks: Tasks, places: Places) -> None:
        self._tasks = tasks
        self._places = places

    @property
    def is_full(self) -> bool:
        """Whether no caller gets a place."""
        return self._places.is_full

    def open(
        self,
        call: Call,
        fill: Callable[[EventStream], Coroutine[Any, Any, bytes]],
        on_close: Callable[[], None] = lambda: None,
    ) -> Reply:
        """A reply whose stream `fill` fills until the client leaves; what it gives at last is the last message."""
        stream = EventStream()
        stream.on_close = self.begin(call, _filled(stream, fill), on_close)
        return answer(stream)

    def begin(
        self, call: Call, work: Coroutine[Any, Any, None], on_end: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """Do `work` in a place of the caller's; what is given ends it, at any time and any number of times."""
        try:
            leave = self._places.take(call.caller)
        except BaseException:
            work.close()
            raise
        task = self._tasks.start(work, "aggregate.stream")
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                task.cancel()
                leave()
                on_end()

        return end


def answer(stream: EventStream) -> Reply:
    """The reply that `stream` is the body of."""
    return Reply(200, list(HEADERS), stream, origin="node")


async def _filled(stream: EventStream, fill: Callable[[EventStream], Coroutine[Any, Any, bytes]]) -> None:
    last = b""
    try:
        async with asyncio.timeout(MAX_LIFE_S):
            last = await fill(stream)
    except TimeoutError:
        pass
    finally:
        # Also after a surprise: a stream that nobody fills any more must not look alive.
        stream.end(last)
