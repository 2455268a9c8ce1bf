"""Where messages go, as the server's first event says (2024-11-05, transports, "HTTP with SSE")."""

from typing import Final
from urllib.parse import urljoin

from mantlet.upstreams.client import Endpoint, parse
from mantlet.wire.sse import Event

MAX_URL_BYTES: Final = 8_192


def is_endpoint(event: Event) -> bool:
    """Whether `event` is of the type `endpoint`."""
    for line in event.raw.splitlines():
        name, _, value = line.partition(b":")
        if name == b"event":
            return value.strip() == b"endpoint"
    return False


def target(event: Event, url: str, stream: Endpoint) -> bytes:
    """The request target to post to. Raises `ValueError` unless it is of the origin that the stream comes from: else a
    server could have us send its callers' arguments, and our credentials for it, to anybody (EGR-03)."""
    if len(event.data) > MAX_URL_BYTES:
        raise ValueError("its endpoint event is too long")
    try:
        named = parse(urljoin(url, event.data.decode()), is_plain_allowed=True)
    except ValueError as error:
        raise ValueError("its endpoint event is no URL") from error
    if (named.is_tls, named.host, named.port) != (stream.is_tls, stream.host, stream.port):
        raise ValueError("its endpoint event points to another origin")
    return named.target
