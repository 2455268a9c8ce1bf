"""Who asks for tokens: API keys as confidential clients, and public clients that are known by name."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_plus, urlsplit

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.refusal import ClientRefused, GrantRefused, InvalidCredential
from mantlet.policies.authorization_server.config import ClientConfig, is_loopback
from mantlet.policies.away.port import Recognise

KEY: Final = "api_key"
_AUTHORIZATION: Final = b"authorization"
_FIELDS: Final = frozenset({_AUTHORIZATION, b"x-api-key"})


@dataclass(frozen=True, slots=True)
class Client:
    """One client. `caller` is who it is itself, for a confidential one; `scopes` None means: those of its user."""

    id: str
    name: str
    redirect_uris: Sequence[str] = ()
    roles: Sequence[str] = ()
    scopes: Sequence[str] | None = None
    caller: Caller | None = None

    def may_redirect(self, uri: str) -> bool:
        """Whether `uri` is one of its own: character by character, but for a loopback address's port (OAUTH-04)."""
        return any(uri == own or (is_loopback(own) and _same_but_port(own, uri)) for own in self.redirect_uris)


class Metadata(Protocol):
    """Clients by the URL of their own metadata."""

    async def find(self, client_id: str, /) -> Client:
        """The client that `client_id` describes; raises `ClientRefused`."""
        ...


class Clients:
    """All of them. Raises `ClientRefused` for one that is not known or does not prove itself."""

    def __init__(self, configs: Sequence[ClientConfig], recognise: Recognise, metadata: Metadata | None = None) -> None:
        self._known: Mapping[str, Client] = {
            config.id: Client(config.id, config.name or config.id, config.redirect_uris, config.roles, config.scopes)
            for config in configs
        }
        self._recognise = recognise
        self._metadata = metadata

    async def of_request(self, arrival: Arrival, form: Mapping[str, str]) -> Client:
        """Who makes a request of the token endpoint: by HTTP Basic, or a public client by its `client_id`."""
        if "client_secret" in form or "client_assertion" in form:
            raise GrantRefused("invalid_request", "Client authentication is by HTTP Basic here.")
        if not arrival.headers.has_any(_FIELDS):
            if "client_id" not in form:
                raise ClientRefused("no client authentication and no client_id")
            return await self.public(form["client_id"])
        client_id, secret = _basic(arrival.headers)
        if form.get("client_id", client_id) != client_id:
            raise GrantRefused("invalid_request", "Two clients are named.")
        try:
            caller = await self._recognise(arrival, secret)
        except InvalidCredential as refusal:
            raise ClientRefused(refusal.why) from refusal
        if caller.method != KEY or caller.credential_id != client_id:
            raise ClientRefused("the secret is no API key, or another's")
        return Client(client_id, caller.subject, caller=caller)

    async def public(self, client_id: str) -> Client:
        """The public client of that id."""
        known = self._known.get(client_id)
        if known is not None:
            return known
        if self._metadata is not None and client_id.startswith("https://"):
            return await self._metadata.find(client_id)
        raise ClientRefused("unknown client")


def _basic(headers: Headers) -> tuple[str, bytes]:
    """Id and secret (RFC 6749 section 2.3.1: each form-encoded before they are joined)."""
    value = headers.get(_AUTHORIZATION)
    if value is None or b"x-api-key" in headers or headers.repeated(_FIELDS) is not None:
        raise GrantRefused("invalid_request", "Client authentication is by HTTP Basic, once.")
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        raise ClientRefused("authorization scheme is not Basic")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ClientRefused("Basic credentials cannot be read") from None
    client_id, colon, secret = text.partition(":")
    if not colon or not secret:
        raise ClientRefused("Basic credentials have no secret")
    return unquote_plus(client_id), unquote_plus(secret).encode()


def _same_but_port(own: str, uri: str) -> bool:
    try:
        ours, theirs = urlsplit(own), urlsplit(uri)
        theirs.port  # noqa: B018 - raises when it is none
    except ValueError:
        return False
    if not is_loopback(uri) or theirs.username is not None or "#" in uri or "\\" in uri:
        return False
    return (ours.hostname, ours.path, ours.query) == (theirs.hostname, theirs.path, theirs.query)
