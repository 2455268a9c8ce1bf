"""`passthrough`: the caller's own credential, as it came. In development only (FWD-01)."""

from collections.abc import Sequence

from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.upstreams.identity.fields import API_KEY, AUTHORIZATION, About
from mantlet.upstreams.identity.port import Field, Outgoing


class Passed:
    """`Identity`. Raises `ValueError` when it is made outside development, whoever forgot to ask."""

    def __init__(self, about: About, environment: str) -> None:
        if environment != "development":
            raise ValueError("forward_identity: passthrough is for development only")
        self._about = about

    async def __call__(self, caller: Caller, headers: Headers, _request: Outgoing, /) -> Sequence[Field]:
        """The two fields in which a credential may come; a cookie never goes on."""
        own = [(name, value) for name in (AUTHORIZATION, API_KEY) if (value := headers.get(name)) is not None]
        return (*own, *self._about.of(caller))
