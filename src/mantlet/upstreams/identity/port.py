"""What a transport asks for, and what a maker answers with."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from mantlet.core.caller import Caller
from mantlet.core.headers import Headers

Field = tuple[bytes, bytes]

NODE: Final = Caller("node", "mantlet:node", "node", kind="service")
"""For whom a node asks when nobody called: what it wants to know of a server. It has no rights of its own."""


class Outgoing(NamedTuple):
    """The request that fields are for, as it will be sent. `body` is None where it is passed on as it comes: then
    nothing can be bound to it."""

    verb: bytes
    target: bytes
    body: bytes | None


class Identity(Protocol):
    """The fields that tell one upstream about a caller. None stands for one that is told nothing."""

    async def __call__(self, caller: Caller, headers: Headers, request: Outgoing, /) -> Sequence[Field]:
        """Fields for one request; `headers` are those that the caller's own came with.

        Raises `Denied` where nothing may be said for this caller, or what a token endpoint's failure is.
        """
        ...


class Grant(Protocol):
    """The seam for `user`: a caller's own OAuth grant at an upstream, kept sealed by whoever implements this."""

    async def token(self, caller: Caller, upstream: str, /) -> str:
        """A current access token. Raises a refusal that asks for consent (URL-mode elicitation) when there is none."""
        ...
