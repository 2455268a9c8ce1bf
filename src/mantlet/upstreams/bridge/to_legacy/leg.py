"""One request of a client in the course of a call: what it says, and where its answer comes from."""

from typing import NamedTuple, Protocol

from mantlet.wire.mcp.bridge.to_legacy_requests import Wishes


class Answer(NamedTuple):
    """The end of a leg: an HTTP status and a JSON-RPC response."""

    status: int
    body: bytes


Item = bytes | Answer
"""A notification, or the answer."""


class Source(Protocol):
    """What a leg is served from."""

    @property
    def is_streaming(self) -> bool:
        """Whether the server answers with a stream, so that it is worth to begin one towards the client."""
        ...

    async def next(self, until_s: float) -> Item | None:
        """What comes next; None when nothing came until then, or `is_streaming` became true. Raises a `Refusal`."""
        ...

    def leave(self) -> None:
        """The client has left."""
        ...


class Leg(NamedTuple):
    """One request of the client's: its raw id, and what it says of the client."""

    raw_id: bytes
    said: Wishes
