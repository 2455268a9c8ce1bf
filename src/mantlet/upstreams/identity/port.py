"""What a transport asks for, and what a maker answers with."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

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


@runtime_checkable
class Renewable(Protocol):
    """An `Identity` whose fields may have ended before their time: what the upstream refused with 401 was not done, and
    may be asked once more."""

    async def renewed(self, caller: Caller, headers: Headers, refused: Sequence[Field], /) -> Sequence[Field] | None:
        """Other fields than those that were refused; None when others would be refused as well. Raises as the call."""
        ...


class Grant(Protocol):
    """A caller's own OAuth grant at one upstream, kept sealed by whoever implements this."""

    async def token(self, caller: Caller, /) -> str:
        """A current access token. Raises `ConsentRequired` when there is none."""
        ...

    async def renewed(self, caller: Caller, refused: str, /) -> str | None:
        """Another one than `refused`; None when that would be refused as well. Raises `ConsentRequired`."""
        ...
