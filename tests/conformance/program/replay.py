"""What a legacy client may have missed while its stream was away (SEP-1699)."""

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage


class Replay(EventStore):
    """Every event of this short-lived program, in order; the id of an event is its place in the list."""

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep `message`; None is a priming event, which is never sent again."""
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came later on the same stream."""
        if not last_event_id.isdecimal() or int(last_event_id) >= len(self._events):
            return None
        seen = int(last_event_id)
        stream = self._events[seen][0]
        for place, (of_stream, message) in enumerate(self._events[seen + 1 :], seen + 1):
            if of_stream == stream and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream
