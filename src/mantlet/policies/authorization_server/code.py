"""The authorization code with PKCE: for programs that can open a browser (RFC 6749 section 4.1, RFC 7636, RFC 9207).

A code is made only after this browser's own consent, goes only to a redirect URI that the client named before, opens
nothing without the verifier of who asked, and once (OAUTH-04).
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import ClientRefused, GrantRefused, MethodNotAllowed
from mantlet.policies.authorization_server.clients import Client, Clients
from mantlet.policies.authorization_server.config import CodeConfig
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.authorization_server.device import given_scopes, rights_of
from mantlet.policies.authorization_server.documents import AUTHORIZE
from mantlet.policies.authorization_server.grant import grant_of, scopes_of
from mantlet.policies.authorization_server.issuing import Issuing
from mantlet.policies.authorization_server.pending import CodeRequest, Pending
from mantlet.policies.authorization_server.token import GrantType
from mantlet.policies.away.logins import Logins
from mantlet.policies.pages import pages
from mantlet.policies.pages.form import needed, parameters, read_form

MAX_STATE_CHARACTERS: Final = 2048
PURPOSE: Final = "code"
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""S256 alone: base64url of 32 bytes."""
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_WARNING: Final = (
    "Allow this only if you started it yourself, from the program that is named above. "
    "It will be able to act in your name."
)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    redirect_uri: str
    challenge: str
    state: str | None
    scopes: tuple[str, ...] | None
    audience: str


class CodeFlow:
    """The page, and the grant type."""

    def __init__(
        self,
        config: CodeConfig,
        clients: Clients,
        issuing: Issuing,
        pending: Pending,
        consents: Consents,
        logins: Logins | None = None,
    ) -> None:
        self._config, self._clients, self._issuing = config, clients, issuing
        self._pending, self._consents, self._logins = pending, consents, logins
        if logins is not None:
            logins.on_return(PURPOSE, self._logged_in)

    async def page(self, arrival: Arrival) -> Reply:
        """The authorization endpoint. What it redirects to is trusted only once client and URI are known."""
        try:
            if arrival.verb == "GET":
                return await self._begun(arrival, parameters(arrival.query))
            if arrival.verb != "POST":
                raise MethodNotAllowed("GET, POST")
            return await self._decided(arrival, await read_form(arrival))
        except ClientRefused:
            arrival.trail.notes["refused"] = "invalid_client"
            return pages.problem("The program that sent you here is not known to this node.")
        except GrantRefused as refusal:
            arrival.trail.notes["refused"] = refusal.error
            return pages.problem(refusal.detail)

    async def _begun(self, arrival: Arrival, asked: Mapping[str, str]) -> Reply:
        client = await self._clients.public(needed(asked, "client_id"))
        arrival.trail.credential = client.id[:256]
        redirect_uri = asked.get("redirect_uri") or ""
        if not client.may_redirect(redirect_uri):
            raise GrantRefused("invalid_request", "The program that sent you here wants its answer elsewhere.")
        state = asked.get("state")
        try:
            if asked.get("response_type") != "code":
                raise GrantRefused("unsupported_response_type")
            if state is not None and len(state) > MAX_STATE_CHARACTERS:
                state = None
                raise GrantRefused("invalid_request", "state is too long.")
            challenge = asked.get("code_challenge", "")
            if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
                raise GrantRefused("invalid_request", "A code_challenge with S256 is needed.")
            if "request" in asked or "request_uri" in asked:
                raise GrantRefused("request_not_supported")
            scopes = scopes_of(asked.get("scope"))
            audience = self._issuing.audience_of(asked.get("resource"))
        except GrantRefused as refusal:
            arrival.trail.notes["refused"] = refusal.error
            return self._back(redirect_uri, state, refusal.data)
        return self._ask(
            client,
            _Asked(
                client_id=client.id,
                redirect_uri=redirect_uri,
                challenge=challenge,
                state=state,
                scopes=None if scopes is None else tuple(sorted(scopes)),
                audience=audience,
            ),
        )

    def _ask(self, client: Client, asked: _Asked, error: str = "") -> Reply:
        ticket, cookie = self._consents.offer(asked)
        parts = urlsplit(asked.redirect_uri)
        return pages.consent(
            AUTHORIZE,
            ticket,
            facts=[
                ("Program", client.name),
                ("Known here as", client.id),
                ("Sends you back to", parts.netloc),
                ("Wants access to", asked.audience),
                ("With the rights", rights_of(client, asked.scopes)),
            ],
            warning=_WARNING,
            cookie=cookie,
            form_to=[f"{parts.scheme}://{parts.netloc}"],
            error=error,
            places=[] if self._logins is None else [place.name for place in self._logins.places()],
        )

    async def _decided(self, arrival: Arrival, form: Mapping[str, str]) -> Reply:
        asked = await self._consents.take(arrival, needed(form, "ticket"), _Asked)
        client = await self._clients.public(asked.client_id)
        arrival.trail.credential = client.id[:256]
        if self._logins is not None and "login" in form:
            return await self._logins.away(arrival, form["login"], PURPOSE, msgspec.msgpack.encode(asked))
        if form.get("decision") != "allow":
            return self._back(asked.redirect_uri, asked.state, {"error": "access_denied"})
        user = await self._consents.user(arrival, form.get("api_key"))
        if user is None:
            return self._ask(client, asked, error="This key was not accepted.")
        return await self._allowed(arrival, asked, client, user)

    async def _logged_in(self, arrival: Arrival, user: Caller, raw: bytes) -> Reply:
        """They allowed it before they were sent to log in, in this very browser."""
        asked = msgspec.msgpack.decode(raw, type=_Asked)
        try:
            client = await self._clients.public(asked.client_id)
        except ClientRefused as refusal:
            raise GrantRefused("invalid_request", "The program is no longer known to this node.") from refusal
        return await self._allowed(arrival, asked, client, user)

    async def _allowed(self, arrival: Arrival, asked: _Asked, client: Client, user: Caller) -> Reply:
        arrival.trail.credential = client.id[:256]
        arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
        arrival.trail.notes["consent"] = client.id[:256]
        scopes = given_scopes(client, asked.scopes, user.scopes)
        life_s = 0.0 if self._logins is None else self._logins.life_s(user.issuer)
        grant = grant_of(user, client.id, scopes, asked.audience, client.roles, life_s)
        code = secrets.token_urlsafe(32)
        request = CodeRequest(
            redirect_uri=asked.redirect_uri, challenge=asked.challenge, grant=grant, family=self._issuing.new_id()
        )
        await self._pending.put_code(code, request, self._config.life)
        return self._back(asked.redirect_uri, asked.state, {"code": code})

    def _back(self, redirect_uri: str, state: str | None, told: Mapping[str, str]) -> Reply:
        """Back to the client, with who answers (RFC 9207): also an error says it."""
        answer = {**told, **({"state": state} if state is not None else {}), "iss": self._issuing.issuer}
        joint = "&" if urlsplit(redirect_uri).query else "?"
        location = f"{redirect_uri}{joint}{urlencode(answer)}"
        headers = [
            (b"location", location.encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
        ]
        # 303: the browser must not send the form, and the key in it, on (RFC 9700 section 4.12).
        return Reply(303, headers, b"", origin="node")

    def redeem(self) -> GrantType:
        """The grant type for the token endpoint."""

        async def grant(arrival: Arrival, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
            code, verifier = needed(form, "code"), needed(form, "code_verifier")
            found = await self._pending.code(code)
            if found is None:
                raise GrantRefused("invalid_grant", why="an unknown code")
            request, is_fresh = found
            # Who cannot say these is not who asked, and must not even spend it.
            if request.grant.client_id != client.id or form.get("redirect_uri") != request.redirect_uri:
                raise GrantRefused("invalid_grant", why="a code of another client or redirect URI")
            if not secrets.compare_digest(challenge_of(verifier), request.challenge):
                raise GrantRefused("invalid_grant", why="a wrong code_verifier")
            resource = form.get("resource")
            if resource is not None and self._issuing.audience_of(resource) != request.grant.audience:
                raise GrantRefused("invalid_target", "resource was not granted.")
            if not is_fresh:
                raise GrantRefused("invalid_grant", why="a code whose time is over")
            if not await self._pending.spend(code, self._config.life):
                # Two have the code and its verifier: nobody knows which is the honest one (RFC 6749 section 4.1.2).
                await self._issuing.kill(request.family)
                raise GrantRefused("invalid_grant", why=f"a code redeemed before: login {request.family} is ended")
            return await self._issuing.log_in(request.grant, arrival.trail, request.family)

        return grant


def challenge_of(verifier: str) -> str:
    """S256 of a verifier (RFC 7636 section 4.2); of one that is malformed nothing that could match."""
    if _VERIFIER.fullmatch(verifier) is None:
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
