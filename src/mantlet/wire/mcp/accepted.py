"""What a client takes for an answer."""

from mantlet.core.call import Arrival


def accepts_stream(arrival: Arrival) -> bool:
    """Whether the client takes an event stream. Whoever sends messages is told in messages, which is as good."""
    accept = arrival.headers.get(b"accept")
    return arrival.is_message or (accept is not None and (b"text/event-stream" in accept.lower() or b"*/*" in accept))
