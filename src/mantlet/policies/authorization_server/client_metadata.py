"""Clients that publish who they are: the id is the URL of their metadata
(draft-ietf-oauth-client-id-metadata-document).

The document is hostile input that an id chose: fetched through the egress guard, small, whole, exact about itself, and
believed about nothing but its own name and redirect URIs.
"""

from collections import OrderedDict
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.clock import Clock
from mantlet.core.ports import Fetch
from mantlet.core.refusal import ClientRefused, InvalidJson, Refusal
from mantlet.policies.authorization_server.clients import Client
from mantlet.policies.authorization_server.config import ClientMetadataConfig, why_no_redirect
from mantlet.wire import jsonrpc

MAX_BYTES: Final = 16_384
MAX_KEPT: Final = 256
KEPT_S: Final = 300.0
REFUSED_S: Final = 30.0
"""A document that cannot be had is not asked for again at once: the id is a stranger's word."""
MAX_REDIRECT_URIS: Final = 20
MAX_CHARACTERS: Final = 200
_TIMEOUT_S: Final = 5.0


class ClientMetadata:
    """`clients.Metadata`. Remembers what it read for some minutes, good or bad."""

    def __init__(self, config: ClientMetadataConfig, fetch: Fetch, clock: Clock) -> None:
        self._config, self._fetch, self._monotonic = config, fetch, clock.monotonic
        self._kept: OrderedDict[str, tuple[float, Client | str]] = OrderedDict()

    async def find(self, client_id: str, /) -> Client:
        """The client that `client_id` describes; raises `ClientRefused`."""
        if why := why_no_id(client_id):
            raise ClientRefused(f"client id: {why}")
        if self._config.hosts and urlsplit(client_id).hostname not in self._config.hosts:
            raise ClientRefused("client id: of a host that is not listed")
        until_s, known = self._kept.get(client_id, (0.0, ""))
        if self._monotonic() >= until_s:
            known = await self._read(client_id)
            kept_s = REFUSED_S if isinstance(known, str) else KEPT_S
            self._kept[client_id] = (self._monotonic() + kept_s, known)
            self._kept.move_to_end(client_id)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        if isinstance(known, str):
            raise ClientRefused(f"client metadata: {known}")
        return known

    async def _read(self, client_id: str) -> Client | str:
        try:
            fetched = await self._fetch(
                "GET", client_id, headers=[(b"accept", b"application/json")], timeout_s=_TIMEOUT_S, max_bytes=MAX_BYTES
            )
        except Refusal as refusal:
            return refusal.why
        if fetched.status != 200:
            return f"status {fetched.status}"
        try:
            document = jsonrpc.decode(fetched.body)
        except InvalidJson:
            return "is not strict JSON"
        return client_of(document, client_id, self._config.roles)


def client_of(document: Any, client_id: str, roles: tuple[str, ...]) -> Client | str:
    """The client that `document` describes, or why it describes none."""
    if type(document) is not dict or document.get("client_id") != client_id:
        return "does not name itself"
    if document.get("token_endpoint_auth_method", "none") != "none" or "client_secret" in document:
        return "is of a client with a secret"
    name = document.get("client_name", client_id)
    if type(name) is not str or not name.isprintable() or not 0 < len(name) <= MAX_CHARACTERS:
        return "has no plain short client_name"
    uris = document.get("redirect_uris")
    if type(uris) is not list or not 0 < len(uris) <= MAX_REDIRECT_URIS or not all(type(uri) is str for uri in uris):
        return "has no short list of redirect_uris"
    if any(why_no_redirect(uri) for uri in uris):
        return "has a redirect URI that is none"
    host = urlsplit(client_id).netloc
    return Client(client_id, f"{name} (as {host} calls it)", tuple(uris), roles)


def why_no_id(client_id: str) -> str:
    """Why `client_id` is no URL of metadata; empty when it is one (section 3 of the draft)."""
    try:
        parts = urlsplit(client_id)
        parts.port  # noqa: B018 - raises when it is none
    except ValueError:
        return "is no URL"
    if not client_id.isascii() or not client_id.isprintable() or len(client_id) > 512 or " " in client_id:
        return "is not a short plain URL"
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or "#" in client_id:
        return "is not https, or has user information or a fragment"
    if parts.path in ("", "/") or parts.query or {".", ".."} & set(parts.path.split("/")):
        return "has no path, a query, or dots for segments"
    return ""
