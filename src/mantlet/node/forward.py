"""The end of the way in: to the server the call names, when there is room."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Upstream
from mantlet.core.refusal import DeadlineExceeded, NotFound, Overloaded

Watch = Callable[[Call, Reply], None]
"""Is told of every stream that begins, and may put one of its own in its place."""


def straight(upstreams: Mapping[str, Upstream], watch: Watch) -> CallHandler:
    """The end of the way for plain HTTP services. Each has a bound of its own on what is under way (its connections),
    so that slow work at one takes no place from another's, or from MCP."""

    async def forward(call: Call) -> Reply:
        upstream = upstreams.get(call.server)
        if upstream is None:
            raise NotFound
        reply = await upstream.send(call)
        if not isinstance(reply.body, bytes):
            watch(call, reply)
        return reply

    return forward


class Forward:
    """Hands a call to its upstream; at most `limit` at once (the head of a stream counts, its flow does not).

    Up to `queue` more wait for a place in the order they came. Refusing at once would cost more than it saves: a
    refused call has been read, identified and is recorded like any other, and comes again. One that waits costs nothing
    meanwhile, leaves when its client does, and is not started after its deadline (RES-03).
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        limit: int,
        queue: int,
        monotonic: Callable[[], float],
        watch: Watch = lambda call, reply: None,
    ) -> None:
        self._upstreams = upstreams
        self._limit = limit
        self._queue = queue
        self._monotonic = monotonic
        self._watch = watch
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.under_way = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._waiting)

    async def __call__(self, call: Call) -> Reply:
        """The upstream's reply, or its refusal. Raises `Overloaded` when the queue is full."""
        upstream = self._upstreams.get(call.server)
        if upstream is None:
            raise NotFound
        if self.under_way >= self._limit:
            await self._turn(call.deadline_s)
        else:
            self.under_way += 1
        try:
            reply = await upstream.send(call)
        finally:
            self._leave()
        if not isinstance(reply.body, bytes):
            self._watch(call, reply)
        return reply

    async def _turn(self, deadline_s: float) -> None:
        """Wait until a place is handed over."""
        if len(self._waiting) >= self._queue:
            raise Overloaded(why=f"{self._limit} calls are under way and {self._queue} wait (mcp.limits)")
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_later(max(0.0, deadline_s - self._monotonic()), self._expire, place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.exception() is None:
                self._leave()  # it was handed over in the very turn in which the client left
            elif place in self._waiting:
                self._waiting.remove(place)
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        """Give the place to who waits longest, or nobody."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.under_way -= 1

    def _expire(self, place: asyncio.Future[None]) -> None:
        if not place.done():
            self._waiting.remove(place)
            place.set_exception(DeadlineExceeded(why="the deadline passed while the call waited for a place"))
