"""One leg of a call as a reply: whole when the answer comes first, else a stream that ends with it."""

import asyncio
from dataclasses import replace
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.refusal import DeadlineExceeded, Refusal
from mantlet.upstreams.bridge.to_legacy.leg import Answer, Item, Source
from mantlet.wire import answer
from mantlet.wire.event_stream import HEADERS, KEEP_ALIVE, KEEP_ALIVE_S
from mantlet.wire.mcp.accepted import accepts_stream
from mantlet.wire.sse import format_event

PATIENCE_S: Final = 2.0
"""How long the head of a reply waits for the answer itself, whose HTTP status says more than that of a stream."""


async def deliver(call: Call, source: Source, clock: Clock) -> Reply:
    """The reply to `call` from what `source` gives. Raises a `Refusal`; `source` is left then, and on cancellation."""
    can_stream = accepts_stream(call.arrival)
    patient_until_s = clock.monotonic() + PATIENCE_S
    try:
        while True:
            may_begin = can_stream and source.is_streaming
            item = await source.next(min(call.deadline_s, patient_until_s) if may_begin else call.deadline_s)
            if isinstance(item, Answer):
                return Reply(item.status, [JSON], item.body, origin="upstream")
            now_s = clock.monotonic()
            if can_stream and (item is not None or (source.is_streaming and now_s >= patient_until_s)):
                return Reply(200, list(HEADERS), Delivery(call, source, clock, item))
            if now_s >= call.deadline_s:
                raise DeadlineExceeded("The upstream did not answer in time.")
            # Without a stream there is nothing to put a notification on.
    except BaseException:
        source.leave()
        raise


class Delivery:
    """The stream of one leg. Closing it before its end is the client's cancellation (MCP-07)."""

    __slots__ = ("_call", "_clock", "_first", "_is_over", "_source")

    def __init__(self, call: Call, source: Source, clock: Clock, first: bytes | None) -> None:
        self._call = call
        self._source = source
        self._clock = clock
        self._first = first
        self._is_over = False

    def __aiter__(self) -> "Delivery":
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        item: Item | None
        if self._first is not None:
            item, self._first = self._first, None
        else:
            try:
                item = await self._source.next(self._clock.monotonic() + KEEP_ALIVE_S)
            except Refusal as refusal:
                # The head is sent: what is wrong can only be said in the answer.
                item = Answer(200, _whole(answer.refused(refusal, replace(self._call.trail, rpc_id=self._call.id))))
                self._source.leave()
            except asyncio.CancelledError:
                await self.aclose()
                raise
        if isinstance(item, Answer):
            self._is_over = True
            return format_event(item.body)
        return KEEP_ALIVE if item is None else format_event(item)

    async def aclose(self) -> None:
        """The client has left."""
        if not self._is_over:
            self._is_over = True
            self._source.leave()


def _whole(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)  # refusals are
    return reply.body
