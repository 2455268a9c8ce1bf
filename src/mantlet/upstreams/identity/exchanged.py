"""`exchange` by this node: a token for one upstream, signed here, and kept for half of its life.

A signature costs some 60 us and a caller makes many calls: the token is made once for each caller, credential and
upstream. It is good for this audience alone, so keeping it gives nobody more than one call gives.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.upstreams.identity.claims import Terms, claims_of
from mantlet.upstreams.identity.fields import About, bearer, hash_of_shown
from mantlet.upstreams.identity.port import Field, Outgoing

MAX_HELD: Final = 4_096
"""About 2 KB each."""
KEPT_SHARE: Final = 0.5
"""Of its life a token is used again: it has to arrive, clocks differ, and a stream that it opens ends with it."""

Sign = Callable[[Mapping[str, Any]], str]


class Exchanged:
    """`Identity`. For one upstream; `new_id` gives what no other token has."""

    def __init__(self, terms: Terms, about: About, sign: Sign, new_id: Callable[[], str], clock: Clock) -> None:
        self._terms, self._about, self._sign, self._new_id, self._clock = terms, about, sign, new_id, clock
        self._held: OrderedDict[object, tuple[float, Sequence[Field]]] = OrderedDict()

    async def __call__(self, caller: Caller, headers: Headers, _request: Outgoing, /) -> Sequence[Field]:
        """The fields for any request of this caller."""
        shown = headers.once(hash_of_shown)
        key = (caller.key, caller.rights, caller.credential_id, caller.expires_at_s, shown)
        held = self._held.get(key)
        now_s = self._clock.wall()
        if held is not None and now_s < held[0]:
            return held[1]
        claims = claims_of(caller, self._terms, now_s=now_s, jti=self._new_id(), token_hash=shown)
        fields = (bearer(self._sign(claims)), *self._about.of(caller))
        life_s = claims["exp"] - claims["iat"]
        self._held[key] = (now_s + life_s * KEPT_SHARE, fields)
        self._held.move_to_end(key)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        return fields
