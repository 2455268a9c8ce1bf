"""`encrypt`: a token that one agent opens, for one request, once. Nothing of it can be kept (FWD-02)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.refusal import Denied
from mantlet.upstreams.identity.claims import Terms, claims_of
from mantlet.upstreams.identity.fields import About, bearer, hash_of_shown
from mantlet.upstreams.identity.port import Field, Outgoing
from mantlet.wire.forwarded import REQUEST, request_digest

Seal = Callable[[Mapping[str, Any]], str]


class Sealed:
    """`Identity`. For one agent."""

    def __init__(self, terms: Terms, about: About, seal: Seal, new_id: Callable[[], str], clock: Clock) -> None:
        self._terms, self._about, self._seal, self._new_id, self._clock = terms, about, seal, new_id, clock

    async def __call__(self, caller: Caller, headers: Headers, request: Outgoing, /) -> Sequence[Field]:
        """The fields for this very request."""
        if request.body is None:
            # A token that is bound to less would be good for more requests than the one it was made for.
            raise Denied("A body that is passed on as it comes cannot be sent here.", why="identity: body not at hand")
        claims = claims_of(
            caller,
            self._terms,
            now_s=self._clock.wall(),
            jti=self._new_id(),
            token_hash=headers.once(hash_of_shown),
        )
        claims[REQUEST] = request_digest(request.verb, request.target, request.body)
        return (bearer(self._seal(claims)), *self._about.of(caller))
