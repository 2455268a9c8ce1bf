"""Who somebody is, as an issuer of callers says: the browser logs in there, and what it brings is a caller's token.

No ID token is read: the node asks for an access token for itself, and takes it as it takes those of its callers, with
the same checks and the same meaning of claims. So whoever logs in on a page is exactly who they are when they call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import GrantRefused, InsufficientScope, InvalidCredential, MethodNotAllowed
from mantlet.policies.away.port import Flow, Recognise
from mantlet.policies.away.trips import Trips, refused

LOGIN: Final = "/oauth/login"
PURPOSE: Final = "login"

Resume = Callable[[Arrival, Caller, bytes], Awaitable[Reply]]
"""Goes on with what somebody logged in for. Raises `GrantRefused`."""


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    purpose: str
    asked: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """An issuer where one can log in."""

    name: str
    """Of its entry in `auth.issuers`."""
    issuer: str


class Logins:
    """All issuers that offer it. Below `LOGIN` each has its own redirect URI."""

    def __init__(
        self, flows: Mapping[str, Flow], lives: Mapping[str, float], trips: Trips, recognise: Recognise
    ) -> None:
        """`lives` says by issuer how long, in seconds, what begins with its logins may go on."""
        self._flows, self._lives, self._trips, self._recognise = flows, lives, trips, recognise
        self._resume: dict[str, Resume] = {}

    def places(self, issuer: str = "") -> Sequence[Place]:
        """Where one can log in: as a caller of `issuer`, or at all."""
        return [Place(name, flow.issuer) for name, flow in self._flows.items() if issuer in ("", flow.issuer)]

    def life_s(self, issuer: str) -> float:
        """How long what begins with a login at `issuer` may go on; 0 where none is offered."""
        return self._lives.get(issuer, 0.0)

    def on_return(self, purpose: str, resume: Resume) -> None:
        """Who goes on with logins for `purpose`."""
        self._resume[purpose] = resume

    async def away(self, arrival: Arrival, name: str, purpose: str, asked: bytes) -> Reply:
        """The page that sends the browser to log in at the place `name`. Raises `GrantRefused`."""
        flow = self._flows.get(name)
        if flow is None:
            raise GrantRefused("invalid_request", "There is no such login here.")
        return await self._trips.away(arrival, flow, msgspec.msgpack.encode(_Asked(purpose, asked)))

    async def callback(self, arrival: Arrival) -> Reply:
        """Below `LOGIN`: takes the answer of an issuer."""
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        try:
            flow = self._flows[arrival.path.rpartition("/")[2]]
            raw, tokens = await self._trips.back(arrival, flow)
            asked = msgspec.msgpack.decode(raw, type=_Asked)
            user = await self._user(arrival, flow, tokens.access_token)
            arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
            return await self._resume[asked.purpose](arrival, user, asked.asked)
        except GrantRefused as refusal:
            return refused(arrival, refusal)

    async def _user(self, arrival: Arrival, flow: Flow, token: str) -> Caller:
        try:
            user = await self._recognise(arrival, token.encode())
        except (InvalidCredential, InsufficientScope) as refusal:
            arrival.trail.notes["login"] = refusal.why[:300]
            raise GrantRefused("access_denied", "Your login is not accepted here.") from refusal
        if user.issuer != flow.issuer:
            raise GrantRefused("access_denied", "Your login is not accepted here.")
        return user
