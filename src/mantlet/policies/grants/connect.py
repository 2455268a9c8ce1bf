"""The two pages of a consent: where a browser sets out, having shown who uses it, and where it comes back.

A grant belongs to the principal that the browser proved to be, and only when that is the one who was asked: a link that
is sent to somebody else connects nothing (2026-07-28, client/elicitation, "Phishing"). The answer of an authorization
server is taken once, from the browser that was sent there, for the server it was sent to (OAUTH-03, RFC 9207).
"""

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import GrantRefused, MethodNotAllowed, Refusal
from mantlet.policies.authorization_server import pages as plain
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.authorization_server.form import needed, parameters, read_form
from mantlet.policies.grants import pages
from mantlet.policies.grants.asked import LIFE_S, Asked, Askings, Sent, digest
from mantlet.policies.grants.port import Flow, Record

CONNECT: Final = "/oauth/connect"
CALLBACK: Final = "/oauth/callback"
CREATED: Final = "grant.created"
MAX_CODE_CHARACTERS: Final = 4_096
_OLD: Final = "This link is too old, or none of this node's. Call the service again, and open the new one."
_OTHERS: Final = "This link was made for somebody else. Nothing was connected."
_TWICE: Final = "This answer was taken already, is too old, or belongs to another browser. Begin again."


class _Ticket(msgspec.Struct, frozen=True):
    identity: str


class Connect:
    """The pages for all upstreams; `root` is the node's public URL. `same_people` is an issuer whose subjects are the
    owners of keys (the node's own authorization server), or empty."""

    def __init__(
        self,
        flows: Mapping[str, Flow],
        askings: Askings,
        consents: Consents,
        record: Record,
        *,
        is_secure: bool,
        same_people: str = "",
    ) -> None:
        self._flows, self._askings, self._consents, self._record = flows, askings, consents, record
        self._prefix = "__Host-mantlet-grant-" if is_secure else "mantlet-grant-"
        self._secure = "; Secure" if is_secure else ""
        self._same_people = same_people

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
            arrival.trail.notes["refused"] = refusal.error
            return plain.problem(refusal.detail)

    async def callback(self, arrival: Arrival) -> Reply:
        """Below `CALLBACK`: takes the answer of an authorization server."""
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        try:
            return await self._returned(arrival, self._flows[arrival.path.rpartition("/")[2]])
        except GrantRefused as refusal:
            arrival.trail.notes["refused"] = refusal.error
            return plain.problem(refusal.detail)

    async def _page(self, identity: str, error: str = "") -> Reply:
        _, flow = await self._asked(identity)
        ticket, cookie = self._consents.offer(_Ticket(identity))
        return pages.who(CONNECT, ticket, flow, cookie=cookie, error=error)

    async def _asked(self, identity: str) -> tuple[Asked, Flow]:
        asked = await self._askings.asked(identity)
        flow = None if asked is None else self._flows.get(asked.upstream)
        if asked is None or flow is None:
            raise GrantRefused("expired_token", _OLD)
        return asked, flow

    async def _answered(self, arrival: Arrival, identity: str, form: Mapping[str, str]) -> Reply:
        asked, flow = await self._asked(identity)
        arrival.trail.object = asked.upstream
        if form.get("decision") != "allow":
            return plain.done("Nothing was connected. You can close this page.")
        user = await self._consents.user(arrival, form.get("api_key"))
        if user is None:
            return await self._page(identity, "This key was not accepted.")
        arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
        if not self._is_asked(asked, user):
            arrival.trail.notes["asked"] = "/".join(asked.principal)
            raise GrantRefused("access_denied", _OTHERS)
        return await self._sent(arrival, asked, flow)

    def _is_asked(self, asked: Asked, user: Caller) -> bool:
        if user.key == asked.principal:
            return True
        # Tokens of the node's own server are given to owners of keys, under the owner's name.
        return asked.issuer == self._same_people != "" and (user.tenant, user.subject) == (asked.tenant, asked.subject)

    async def _sent(self, arrival: Arrival, asked: Asked, flow: Flow) -> Reply:
        state, cookie = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        try:
            url, verifier = await flow.begin(state)
        except Refusal as refusal:
            return _unreachable(arrival, refusal)
        await self._askings.send(state, Sent(asked, verifier, digest(cookie)))
        # Lax: the way back is a link on another site. Named after the state, so that two at a time do not collide.
        name = f"{self._prefix}{digest(state)[:16]}"
        return pages.away(url, f"{name}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFE_S:.0f}{self._secure}")

    async def _returned(self, arrival: Arrival, flow: Flow) -> Reply:
        answer = parameters(arrival.query)
        state = needed(answer, "state")
        sent = await self._askings.sent(state)
        if sent is None or sent.asked.upstream != flow.upstream or not self._has_cookie(arrival, state, sent):
            raise GrantRefused("access_denied", _TWICE)
        asked = sent.asked
        arrival.trail.object = asked.upstream
        arrival.trail.principal, arrival.trail.tenant = "/".join(asked.principal), asked.tenant
        if not await self._askings.spend(state):
            raise GrantRefused("access_denied", _TWICE)
        try:
            # Also of an error: an answer that is not this server's says nothing (RFC 9207 section 2.4).
            if not await flow.is_own(answer.get("iss")):
                raise GrantRefused("invalid_request", "This answer is another server's. Nothing was connected.")
            code = answer.get("code", "")
            if "error" in answer or not 0 < len(code) <= MAX_CODE_CHARACTERS:
                arrival.trail.notes["answered"] = _word(answer.get("error", "no code"))
                return plain.problem("The service did not give access. Nothing was connected.")
            tokens = await flow.redeem(code, sent.verifier)
        except GrantRefused:
            raise
        except Refusal as refusal:
            return _unreachable(arrival, refusal)
        if isinstance(tokens, str):
            arrival.trail.notes["answered"] = _word(tokens)
            return plain.problem("The service took its consent back. Nothing was connected.")
        await self._record(CREATED, asked.upstream, asked.principal)
        await flow.keep(asked.principal, tokens)
        return plain.done(f"{asked.upstream} is connected. You can close this page and go back to your program.")

    def _has_cookie(self, arrival: Arrival, state: str, sent: Sent) -> bool:
        name = f"{self._prefix}{digest(state)[:16]}="
        pairs = [pair.strip() for line in arrival.headers.all(b"cookie") for pair in line.split(b";")]
        values = [pair[len(name) :] for pair in pairs if pair.startswith(name.encode())]
        return any(secrets.compare_digest(digest(value.decode("latin-1")), sent.cookie) for value in values)


def _unreachable(arrival: Arrival, refusal: Refusal) -> Reply:
    arrival.trail.notes["refused"] = refusal.why[:300]
    return plain.problem("The service's login cannot be used now. Nothing was connected; try again later.", 502)


def _word(text: str) -> str:
    """A stranger's word, for the record."""
    return "".join(character for character in text[:64] if character.isalnum() or character in "_-. ")
