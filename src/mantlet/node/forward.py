"""The end of the way in: to the server the call names."""

from collections.abc import Mapping

from mantlet.core.call import Call, Reply
from mantlet.core.ports import Upstream
from mantlet.core.refusal import NotFound, Overloaded


class Forward:
    """Hands a call to its upstream; at most `limit` at once (the head of a stream counts, its flow does not)."""

    def __init__(self, upstreams: Mapping[str, Upstream], limit: int) -> None:
        self._upstreams = upstreams
        self._limit = limit
        self.under_way = 0

    async def __call__(self, call: Call) -> Reply:
        """The upstream's reply, or its refusal."""
        upstream = self._upstreams.get(call.server)
        if upstream is None:
            raise NotFound
        if self.under_way >= self._limit:
            raise Overloaded(why=f"mcp.limits.max_concurrent_requests: {self._limit}")
        self.under_way += 1
        try:
            return await upstream.send(call)
        finally:
            self.under_way -= 1
