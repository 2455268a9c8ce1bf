"""Tokens for an identity assertion: an enterprise's issuer says for whom a client asks, and nobody is asked for consent
(RFC 7523, draft-ietf-oauth-identity-assertion-authz-grant).

The assertion is the grant: what it does not say is not given, whatever the client asks for. It names the client, counts
once, and gives no refresh token: the next one tells whether the issuer still knows its user.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import GrantRefused, InvalidCredential
from mantlet.policies.authorization_server.clients import Client
from mantlet.policies.authorization_server.config import AssertionsConfig
from mantlet.policies.authorization_server.grant import grant_of, narrowed, scopes_of
from mantlet.policies.authorization_server.issuing import Issuing
from mantlet.policies.authorization_server.pending import Pending
from mantlet.policies.authorization_server.token import GrantType
from mantlet.policies.pages.form import needed

MAX_ID_CHARACTERS: Final = 256
SPARE_S: Final = 60.0
"""Beyond its end, for leeway: so long it is remembered that an assertion was shown."""

Asserted = Callable[[bytes], Awaitable[tuple[Caller, Mapping[str, Any]]]]
"""Whom an assertion is about, and all that it says; raises `InvalidCredential` for one that is not good here."""


def jwt_bearer(
    config: AssertionsConfig, issuing: Issuing, pending: Pending, asserted: Asserted, clock: Clock
) -> GrantType:
    """The grant type."""

    async def grant(arrival: Arrival, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        if client.caller is None:
            raise GrantRefused("unauthorized_client", "Only a client with a secret may show an assertion.")
        try:
            user, claims = await asserted(needed(form, "assertion").encode())
        except InvalidCredential as refusal:
            raise GrantRefused("invalid_grant", why=refusal.why) from refusal
        arrival.trail.principal, arrival.trail.tenant = user.name, user.tenant
        if claims.get("client_id") != client.id:
            raise GrantRefused("invalid_grant", why="an assertion for another client")
        resource = claims.get("resource")
        if resource is not None and type(resource) is not str:
            raise GrantRefused("invalid_target", "The assertion names no single resource.")
        if form.get("resource", resource) != resource:
            raise GrantRefused("invalid_target", "resource was not granted.")
        audience = issuing.audience_of(resource)
        scopes = narrowed(scopes_of(form.get("scope")), user.scopes)
        # Last: what is refused for another reason may be shown again.
        if not await pending.spend(_name(claims), (user.expires_at_s or 0.0) - clock.wall() + SPARE_S):
            raise GrantRefused("invalid_grant", why="an assertion that was shown before")
        arrival.trail.notes["asserted_by"] = user.issuer
        # No origin: a token that begins with the client's key would have to carry what the key may, not the user.
        return issuing.access(grant_of(user, client.id, scopes, audience, config.roles), scopes, "")

    return grant


def _name(claims: Mapping[str, Any]) -> str:
    identity = claims.get("jti")
    if type(identity) is not str or not 0 < len(identity) <= MAX_ID_CHARACTERS:
        raise GrantRefused("invalid_grant", why="an assertion without a jti")
    return f"assertion {claims['iss']} {identity}"
