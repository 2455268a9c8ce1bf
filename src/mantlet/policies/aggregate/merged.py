"""What every merged stream has: a place, a task that hears the servers, an end that ends them all."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import NotAcceptable
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.places import Places
from mantlet.wire.event_stream import HEADERS, EventStream

MAX_LIFE_S: Final = 86_400.0
"""A stream without an end of its own; after a day its client opens a new one."""


def refuse_no_stream(call: Call) -> None:
    """Raise `NotAcceptable` unless the client takes an event stream."""
    accept = call.arrival.headers.get(b"accept") or b""
    if call.arrival.is_message or b"text/event-stream" in accept.lower() or b"*/*" in accept:
        return
    raise NotAcceptable("A stream needs Accept: text/event-stream.")


class Merged:
    """Opens streams that are filled by one task each."""

    def __init__(self, tasks: Tasks, places: Places) -> None:
        self._tasks = tasks
        self._places = places

    def open(
        self,
        call: Call,
        fill: Callable[[EventStream], Coroutine[Any, Any, bytes]],
        on_close: Callable[[], None] = lambda: None,
    ) -> Reply:
        """A reply whose stream `fill` fills until the client leaves; what it gives at last is the last message."""
        leave = self._places.take(call.caller)
        stream = EventStream()
        task = self._tasks.start(_filled(stream, fill), "aggregate.stream")

        def closed() -> None:
            task.cancel()
            leave()
            on_close()

        stream.on_close = closed
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
