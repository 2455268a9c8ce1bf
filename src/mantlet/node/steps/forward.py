"""The end of the way in: to the server the call names, when there is room."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Upstream
from mantlet.core.refusal import BadUpstream, BreakerOpen, DeadlineExceeded, NotFound, Overloaded, Unavailable
from mantlet.policies.admission.adaptive import Adaptive
from mantlet.policies.admission.config import AdaptiveConfig, PriorityRule
from mantlet.policies.admission.line import Line, Waiting
from mantlet.policies.admission.priority import priority_of
from mantlet.policies.admission.share import fits
from mantlet.upstreams.guarded.verdict import patience_for

Watch = Callable[[Call, Reply], None]
"""Is told of every stream that begins, and may put one of its own in its place."""

PATIENCE_S: Final = 1.0
"""A caller may set a deadline of its own: one that left the server less than this says nothing of it."""
BUSY: Final = frozenset({429, 502, 503, 504})
"""What a server, or a proxy before it, answers when it has too much to do."""


class Places:
    """What one server has."""

    __slots__ = ("adaptive", "under_way", "upstream")

    def __init__(self, upstream: Upstream, adaptive: Adaptive) -> None:
        self.upstream = upstream
        self.adaptive = adaptive
        self.under_way = 0


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

    Of these no upstream gets all where there are several, and one that fails gets fewer (`Adaptive`): what hangs takes
    no place from the others (RES-04). Up to `queue` more calls wait for a place, in a `Line`. Refusing at once would
    cost more than it saves: a refused call has been read, identified and is recorded like any other, and comes again.
    One that waits costs nothing meanwhile, leaves when its client does, and is not started after its deadline (RES-03).
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        limit: int,
        queue: int,
        monotonic: Callable[[], float],
        watch: Watch = lambda call, reply: None,
        *,
        adaptive: AdaptiveConfig = AdaptiveConfig(),
        priorities: Sequence[PriorityRule] = (),
        recheck: Callable[[Call], object] = lambda call: None,
    ) -> None:
        """`recheck` raises when a call that has waited may no longer go on."""
        most = limit if adaptive.max is None else min(limit, adaptive.max)
        least = adaptive.min if adaptive.enabled else most
        self._places = {name: Places(upstream, Adaptive(least, most)) for name, upstream in upstreams.items()}
        self._is_shared = len(upstreams) > 1
        self.limit = limit
        self._monotonic = monotonic
        self._watch, self._recheck = watch, recheck
        self._slow_s = None if adaptive.slow_ms is None or not adaptive.enabled else adaptive.slow_ms / 1000
        self._priorities = priorities
        self._line = Line(queue, len(upstreams))
        self.under_way = 0
        self.shed = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._line)

    def limits(self) -> dict[str, tuple[int, int]]:
        """For each upstream the limit in force, and what it is at most."""
        return {name: (places.adaptive.limit, places.adaptive.most) for name, places in self._places.items()}

    async def __call__(self, call: Call) -> Reply:
        """The upstream's reply, or its refusal. Raises `Overloaded` when the call may not even wait."""
        places = self._places.get(call.server)
        if places is None:
            raise NotFound
        if self._has_room(places):
            self._enter(places)
        else:
            await self._turn(call, places)
            try:
                # It may have waited a while: what was stopped meanwhile does not go on.
                self._recheck(call)
            except BaseException:
                self._leave(places)
                raise
        began_s = self._monotonic()
        try:
            if began_s >= call.deadline_s:
                raise DeadlineExceeded(why="the deadline had passed before the call was begun")
            reply = await places.upstream.send(call)
        except BreakerOpen:
            raise  # the server was not asked
        except DeadlineExceeded:
            if self._monotonic() - began_s >= patience_for(call, PATIENCE_S):
                places.adaptive.failed()
            raise
        except BadUpstream as refusal:
            if refusal.said != "no":
                places.adaptive.failed()
            raise
        except Unavailable:
            places.adaptive.failed()
            raise
        else:
            if reply.status in BUSY or (self._slow_s is not None and self._monotonic() - began_s > self._slow_s):
                places.adaptive.failed()
            else:
                places.adaptive.succeeded(places.under_way)
        finally:
            self._leave(places)
        if not isinstance(reply.body, bytes):
            self._watch(call, reply)
        return reply

    def _has_room(self, places: Places) -> bool:
        free = self.limit - self.under_way
        taken = places.under_way
        return free > 0 and taken < places.adaptive.limit and (not self._is_shared or fits(taken, free))

    def _enter(self, places: Places) -> None:
        self.under_way += 1
        places.under_way += 1

    async def _turn(self, call: Call, places: Places) -> None:
        """Wait until a place is handed over."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(loop.create_future(), call.server, call.caller.key, priority_of(self._priorities, call))
        try:
            gives_way = self._line.enter(waiting)
        except Overloaded:
            self.shed += 1
            raise
        if gives_way is not None and not gives_way.place.done():
            self.shed += 1
            gives_way.place.set_exception(Overloaded(why="gave way to a call of higher priority (mcp.limits)"))
        timer = loop.call_later(max(0.0, call.deadline_s - self._monotonic()), self._expire, waiting)
        try:
            await waiting.place
        except asyncio.CancelledError:
            # Out of the line, yet neither refused nor gone itself: it was handed a place in the very turn in which the
            # client left.
            if not self._line.leave(waiting) and not waiting.place.cancelled() and waiting.place.exception() is None:
                self._leave(places)
            raise
        finally:
            timer.cancel()

    def _leave(self, places: Places) -> None:
        """Give the place back, and all there are to whose turn it is."""
        self.under_way -= 1
        places.under_way -= 1
        if self._line:
            self._hand_over()

    def _hand_over(self) -> None:
        while (waiting := self._line.next(self._has_room_at)) is not None:
            if not waiting.place.done():
                self._enter(self._places[waiting.server])
                waiting.place.set_result(None)

    def _has_room_at(self, server: str) -> bool:
        return self._has_room(self._places[server])

    def _expire(self, waiting: Waiting) -> None:
        if self._line.leave(waiting) and not waiting.place.done():
            waiting.place.set_exception(DeadlineExceeded(why="the deadline passed while the call waited for a place"))
