"""Who was asked for consent, in the shared `State`.

An id in a link says nothing and opens nothing: the page behind it wants to know who comes, and it must be the one who
was asked (2026-07-28, client/elicitation, "Phishing").
"""

import secrets
from typing import Final

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.ports import State
from mantlet.policies.grants.port import PrincipalKey

LIFE_S: Final = 600.0
_OVERLAP_S: Final = 660.0
"""A link that was given in its last moment can still be followed, there and back."""
MAX_CHARACTERS: Final = 64


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """For whose grant, and where."""

    upstream: str
    tenant: str
    issuer: str
    subject: str

    @property
    def principal(self) -> PrincipalKey:
        """As `Caller.key`."""
        return (self.tenant, self.issuer, self.subject)


class Askings:
    """Everything raises `StoreUnavailable`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def ask(self, caller: Caller, upstream: str) -> str:
        """The id of the link for this caller and upstream: the same for all calls that need it meanwhile."""
        asked = Asked(upstream, *caller.key)
        key, mine = ("grants", "asking", *asked.principal, upstream), secrets.token_urlsafe(16)
        standing = (await self._state.claim(key, mine.encode(), LIFE_S)).decode()
        if standing == mine:
            await self._state.put(("grants", "asked", mine), msgspec.msgpack.encode(asked), LIFE_S + _OVERLAP_S)
        return standing

    async def asked(self, identity: str) -> Asked | None:
        """Who was asked by a link."""
        raw = await self._state.get(("grants", "asked", identity[:MAX_CHARACTERS]))
        return None if raw is None else msgspec.msgpack.decode(raw, type=Asked)
