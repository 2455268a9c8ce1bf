"""The token endpoint and the one that takes tokens back (RFC 6749 section 3.2, RFC 7009)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.headers import JSON
from mantlet.core.refusal import GrantRefused, MethodNotAllowed
from mantlet.policies.authorization_server.clients import Client, Clients
from mantlet.policies.authorization_server.grant import grant_of, narrowed, scopes_of
from mantlet.policies.authorization_server.issuing import Issuing
from mantlet.policies.pages.form import needed, read_form
from mantlet.wire import jsonrpc

GrantType = Callable[[Arrival, Client, Mapping[str, str]], Awaitable[dict[str, Any]]]
"""Gives the members of the answer, or raises `GrantRefused`."""
PRIVATE: Final = [
    JSON,
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]


class TokenEndpoint:
    """`grants` are the grant types that are offered, by their name."""

    def __init__(self, clients: Clients, issuing: Issuing, grants: Mapping[str, GrantType]) -> None:
        self._clients, self._issuing, self._grants = clients, issuing, grants

    async def token(self, arrival: Arrival) -> Reply:
        """Answer a request for tokens."""
        client, form = await self._asked(arrival)
        name = needed(form, "grant_type")
        grant = self._grants.get(name)
        if grant is None:
            raise GrantRefused("unsupported_grant_type")
        arrival.trail.object = name
        return Reply(200, list(PRIVATE), jsonrpc.encode(await grant(arrival, client, form)), origin="node")

    async def revoke(self, arrival: Arrival) -> Reply:
        """Take a token back. Also 200 for one that is none (RFC 7009 section 2.2)."""
        client, form = await self._asked(arrival)
        await self._issuing.revoke(client.id, needed(form, "token"), arrival.trail)
        return Reply(200, list(PRIVATE), b"{}", origin="node")

    async def _asked(self, arrival: Arrival) -> tuple[Client, Mapping[str, str]]:
        if arrival.verb != "POST":
            raise MethodNotAllowed("POST")
        form = await read_form(arrival)
        client = await self._clients.of_request(arrival, form)
        arrival.trail.credential = client.id[:256]
        if client.caller is not None:
            arrival.trail.principal, arrival.trail.tenant = client.caller.name, client.caller.tenant
        return client, form


def client_credentials(issuing: Issuing) -> GrantType:
    """An API key for a short-lived token of the same rights or fewer, and no refresh token (section 4.4.3)."""

    async def grant(arrival: Arrival, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        if client.caller is None:
            raise GrantRefused("unauthorized_client", "This client has no secret.")
        scopes = narrowed(scopes_of(form.get("scope")), client.caller.scopes)
        audience = issuing.audience_of(form.get("resource"))
        # The token begins with the key's id: it ends with the key.
        return issuing.access(grant_of(client.caller, client.id, scopes, audience), scopes, client.id)

    return grant


def refresh(issuing: Issuing) -> GrantType:
    """The next tokens of a login."""

    async def grant(arrival: Arrival, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        token = needed(form, "refresh_token")
        return await issuing.refresh(client.id, token, form.get("scope"), form.get("resource"), arrival.trail)

    return grant
