"""The two pages of a consent: where a browser sets out, having shown who uses it, and where it comes back.

A grant belongs to the principal that the browser proved to be, and only when that is the one who was asked: a link that
is sent to somebody else connects nothing (2026-07-28, client/elicitation, "Phishing").
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import GrantRefused, MethodNotAllowed
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.away.logins import Logins, Place
from mantlet.policies.away.trips import Trips, refused
from mantlet.policies.grants import pages
from mantlet.policies.grants.asked import Asked, Askings
from mantlet.policies.grants.people import People
from mantlet.policies.grants.port import GrantFlow, Record
from mantlet.policies.pages import pages as plain
from mantlet.policies.pages.form import needed, parameters, read_form

CONNECT: Final = "/oauth/connect"
CALLBACK: Final = "/oauth/callback"
CREATED: Final = "grant.created"
PURPOSE: Final = "grant"
_OLD: Final = "This link is too old, or none of this node's. Call the service again, and open the new one."
_OTHERS: Final = "This link was made for somebody else. Nothing was connected."


class _Ticket(msgspec.Struct, frozen=True):
    identity: str


class Connect:
    """The pages for all upstreams."""

    def __init__(
        self,
        flows: Mapping[str, GrantFlow],
        askings: Askings,
        consents: Consents,
        trips: Trips,
        people: People,
        record: Record,
        logins: Logins | None = None,
    ) -> None:
        self._flows, self._askings, self._consents = flows, askings, consents
        self._trips, self._people, self._record, self._logins = trips, people, record, logins
        if logins is not None:
            logins.on_return(PURPOSE, self._logged_in)

    def can_prove(self, caller: Caller) -> bool:
        """Whether the page has a way to see that it is `caller` who came."""
        asked = Asked("", *caller.key)
        return self._people.may_show_key(asked) or bool(self._places(asked))

    async def connect(self, arrival: Arrival) -> Reply:
        """`CONNECT`: says what is asked for, asks who comes, and sends them on."""
        try:
            if arrival.verb == "GET":
                return await self._page(needed(parameters(arrival.query), "id"))
            if arrival.verb != "POST":
                raise MethodNotAllowed("GET, POST")
            form = await read_form(arrival)
            ticket = await self._consents.take(arrival, needed(form, "ticket"), _Ticket)
            return await self._answered(arrival, ticket.identity, form)
        except GrantRefused as refusal:
            return refused(arrival, refusal)

    async def callback(self, arrival: Arrival) -> Reply:
        """Below `CALLBACK`: takes the answer of an authorization server."""
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        flow = self._flows[arrival.path.rpartition("/")[2]]
        arrival.trail.object = flow.name
        try:
            raw, tokens = await self._trips.back(arrival, flow)
        except GrantRefused as refusal:
            return refused(arrival, refusal)
        asked = msgspec.msgpack.decode(raw, type=Asked)
        arrival.trail.principal, arrival.trail.tenant = "/".join(asked.principal), asked.tenant
        await self._record(CREATED, asked.upstream, asked.principal)
        await flow.keep(asked.principal, tokens)
        return plain.done(f"{asked.upstream} is connected. You can close this page and go back to your program.")

    async def _page(self, identity: str, error: str = "") -> Reply:
        asked, flow = await self._asked(identity)
        has_key, places = self._people.may_show_key(asked), self._places(asked)
        if not has_key and not places:  # a link from before a reload: `can_prove` keeps others from coming
            raise GrantRefused("access_denied", "There is no way here to see who you are. Tell the operator.")
        ticket, cookie = self._consents.offer(_Ticket(identity))
        return pages.who(CONNECT, ticket, flow, cookie=cookie, has_key=has_key, places=places, error=error)

    def _places(self, asked: Asked) -> list[Place]:
        if self._logins is None:
            return []
        return [place for place in self._logins.places() if self._people.may_log_in(asked, place.issuer)]

    async def _asked(self, identity: str) -> tuple[Asked, GrantFlow]:
        asked = await self._askings.asked(identity)
        flow = None if asked is None else self._flows.get(asked.upstream)
        if asked is None or flow is None:
            raise GrantRefused("expired_token", _OLD)
        return asked, flow

    async def _answered(self, arrival: Arrival, identity: str, form: Mapping[str, str]) -> Reply:
        asked, flow = await self._asked(identity)
        arrival.trail.object = asked.upstream
        if self._logins is not None and "login" in form:
            return await self._logins.away(arrival, form["login"], PURPOSE, identity.encode())
        if form.get("decision") != "allow":
            return plain.done("Nothing was connected. You can close this page.")
        user = await self._consents.user(arrival, form.get("api_key"))
        if user is None:
            return await self._page(identity, "This key was not accepted.")
        return await self._sent(arrival, asked, flow, user)

    async def _logged_in(self, arrival: Arrival, user: Caller, identity: bytes) -> Reply:
        asked, flow = await self._asked(identity.decode())
        return await self._sent(arrival, asked, flow, user)

    async def _sent(self, arrival: Arrival, asked: Asked, flow: GrantFlow, user: Caller) -> Reply:
        arrival.trail.object = asked.upstream
        arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
        if not self._people.is_same(asked, user):
            arrival.trail.notes["asked"] = "/".join(asked.principal)
            raise GrantRefused("access_denied", _OTHERS)
        return await self._trips.away(arrival, flow, msgspec.msgpack.encode(asked))
