"""`Identity` by the caller's own grant: its access token, and nothing of the caller's own request."""

from collections.abc import Sequence
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.refusal import ConsentRequired
from mantlet.upstreams.identity.fields import AUTHORIZATION, About, bearer
from mantlet.upstreams.identity.port import NODE, Field, Grant, Outgoing

_PREFIX: Final = b"Bearer "


class ByGrant:
    """`Identity` and `Renewable`. For one upstream."""

    def __init__(self, upstream: str, grant: Grant, about: About) -> None:
        self._upstream, self._grant, self._about = upstream, grant, about

    async def __call__(self, caller: Caller, headers: Headers, _request: Outgoing, /) -> Sequence[Field]:
        """The fields for any request of this caller. Raises `ConsentRequired`."""
        if caller is NODE:
            raise ConsentRequired(self._upstream, why="identity: the node has no grant of its own")
        return (bearer(await self._grant.token(caller)), *self._about.of(caller))

    async def renewed(self, caller: Caller, _headers: Headers, refused: Sequence[Field], /) -> Sequence[Field] | None:
        """See `Renewable`."""
        shown = next((value for name, value in refused if name == AUTHORIZATION), b"").removeprefix(_PREFIX)
        token = await self._grant.renewed(caller, shown.decode())
        return None if token is None else (bearer(token), *self._about.of(caller))
