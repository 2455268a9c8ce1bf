"""How many calls of one client are under way at once, in this process."""

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.ports import LimitKey
from mantlet.core.refusal import RateLimited
from mantlet.policies.limits.client import client_of

NAME = "concurrent"


class ConcurrentCalls:
    """Stands before the windows: what is refused here has spent nothing there (RATE-01). Streams count until they
    begin; from then on `limits.connections.streams_per_caller` bounds them."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._wall = clock.wall
        self._under_way: dict[LimitKey, int] = {}

    async def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """Refuse with `RateLimited`, or pass on."""
        client = client_of(arrival.caller, arrival.peer)
        under_way = self._under_way.get(client, 0)
        if under_way >= self._limit:
            arrival.trail.rule = f"limits.{NAME}"
            raise RateLimited(
                name=NAME,
                limit=self._limit,
                window_s=0.0,
                remaining=0,
                reset_s=self._wall() + 1.0,
                retry_after_s=1.0,
                is_global=False,
            )
        self._under_way[client] = under_way + 1
        try:
            return await onward(arrival)
        finally:
            left = self._under_way[client] - 1
            if left:
                self._under_way[client] = left
            else:
                del self._under_way[client]
