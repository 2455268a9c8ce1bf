"""A call by its caller's own grant: what the server refuses with 401 was not done, and is asked once more with a token
that was got anew. A grant may have been taken back at the server while its token still had a while to live."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.client import lines
from mantlet.upstreams.identity import Field, Outgoing, Renewable

NOTHING: Final = Outgoing(b"POST", b"/", None)
"""A grant is the same for every request."""


class Rejected(Exception):
    """The server answered 401 to a caller's own token."""


async def carried(
    renewable: Renewable, call: Call, told: Sequence[Field], carry: Callable[[bytes], Awaitable[Reply]]
) -> Reply:
    """What `carry` gives with `told`, or once more with what comes after it. Raises `ConsentRequired` where there is
    nothing after it, `BadUpstream` where the server takes that no better."""
    try:
        return await carry(lines(told))
    except Rejected:
        again = await renewable.renewed(call.caller, call.arrival.headers, told)
    if again is not None:
        try:
            return await carry(lines(again))
        except Rejected:
            pass
    raise BadUpstream(why="it answered 401 to a token of the caller's that its authorization server has just given")
