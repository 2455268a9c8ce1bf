"""Who was asked for consent, and which browser was sent to give it, in the shared `State`.

An id in a link says nothing and opens nothing: the page behind it wants to know who comes, and it must be the one who
was asked (2026-07-28, client/elicitation, "Phishing").
"""

import hashlib
import secrets
from typing import Final

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.ports import State
from mantlet.policies.grants.port import PrincipalKey

LIFE_S: Final = 600.0
"""OAUTH-03: ten minutes at most."""
_OVERLAP_S: Final = 60.0


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


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """A browser that was sent to an authorization server, having shown who uses it."""

    asked: Asked
    verifier: str
    cookie: str
    """A digest of what the browser's cookie holds."""

    def __repr__(self) -> str:
        return f"Sent({self.asked})"


class Askings:
    """Everything raises `StoreUnavailable`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def ask(self, caller: Caller, upstream: str) -> str:
        """The id of the link for this caller and upstream: the same for all calls that need it meanwhile."""
        asked = Asked(upstream, *caller.key)
        mine = secrets.token_urlsafe(16)
        standing = (
            await self._state.claim(("grants", "asking", *asked.principal, upstream), mine.encode(), LIFE_S)
        ).decode()
        if standing == mine:
            await self._state.put(("grants", "asked", mine), msgspec.msgpack.encode(asked), LIFE_S + _OVERLAP_S)
        return standing

    async def asked(self, identity: str) -> Asked | None:
        """Who was asked by a link."""
        raw = await self._state.get(("grants", "asked", identity[:64]))
        return None if raw is None else msgspec.msgpack.decode(raw, type=Asked)

    async def send(self, state: str, sent: Sent) -> None:
        """A browser leaves with `state`."""
        await self._state.put(("grants", "sent", digest(state)), msgspec.msgpack.encode(sent), LIFE_S)

    async def sent(self, state: str) -> Sent | None:
        """Who left with `state`; it is not spent by asking."""
        raw = await self._state.get(("grants", "sent", digest(state)))
        return None if raw is None else msgspec.msgpack.decode(raw, type=Sent)

    async def spend(self, state: str) -> bool:
        """Whether this is the first to come back with `state`. Of any that come at the same time one is."""
        mine = secrets.token_bytes(8)
        key = ("grants", "spent", digest(state))
        is_first = await self._state.claim(key, mine, LIFE_S + _OVERLAP_S) == mine
        await self._state.drop(("grants", "sent", digest(state)))
        return is_first


def digest(secret: str) -> str:
    """The name under which what belongs to a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
