"""`auth.server:`, as the config file spells it. Durations are seconds."""

from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

Life = Annotated[int, msgspec.Meta(ge=1, le=3600)]
Seconds = Annotated[int, msgspec.Meta(ge=1)]


def why_no_redirect(uri: str) -> str:
    """Why `uri` may not be redirected to; empty when it may: https, or http to this machine (RFC 9700 section 2.1)."""
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises when it is none
    except ValueError:
        return "is no URL"
    if not uri.isascii() or not uri.isprintable() or any(character in uri for character in ' "<>\\^`{|}'):
        return "has characters that no URL has"
    if "#" in uri or parts.username is not None or parts.password is not None or "*" in uri:
        return "has a fragment, user information or a pattern"
    if parts.scheme == "https" and parts.hostname:
        return ""
    if is_loopback(uri):
        return ""
    return "is neither https nor http to 127.0.0.1 or [::1]"


def is_loopback(uri: str) -> bool:
    """Whether it leads to this machine by address; `localhost` may be anybody's (RFC 8252 section 8.3)."""
    parts = urlsplit(uri)
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")


class ClientConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A public client (a program on somebody's machine), by its id. It has no secret: users consent to it by name."""

    id: str
    name: str = ""
    """For the consent page. Unset: the id."""
    redirect_uris: tuple[str, ...] = ()
    """Exact. Of `http://127.0.0.1` and `http://[::1]` any port (RFC 8252 section 7.3). None: no authorization code."""
    scopes: tuple[str, ...] | None = None
    """The most that its tokens may carry. Null: what the user has."""
    roles: tuple[str, ...] = ("user",)
    """Of the user's roles, those that its tokens may carry."""

    def __post_init__(self) -> None:
        if not self.id or not self.id.isascii() or not self.id.isprintable() or " " in self.id or len(self.id) > 255:
            raise ValueError("id: visible ASCII without spaces, at most 255 characters")
        if self.id.startswith(("https://", "http://")):
            raise ValueError("id: a URL names its own metadata; use auth.server.client_metadata instead")
        for uri in self.redirect_uris:
            if why := why_no_redirect(uri):
                raise ValueError(f"redirect_uris: {uri[:200]!r} {why}")


COMMAND_LINE: Final = ClientConfig(
    id="mantlet", name="Mantlet on a command line", redirect_uris=("http://127.0.0.1/callback",)
)


class DeviceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The device flow (RFC 8628)."""

    enabled: bool = True
    life: Annotated[int, msgspec.Meta(ge=30, le=1800)] = 600
    """How long a user has to enter the code."""
    interval: Annotated[int, msgspec.Meta(ge=1, le=60)] = 5
    """How long a device waits between two questions; asking sooner makes it longer by five."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=5)] = 5
    """Codes that may be tried from one network in five minutes."""


class CodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The authorization code with PKCE."""

    enabled: bool = True
    life: Annotated[int, msgspec.Meta(ge=5, le=600)] = 60
    """How long a code can be redeemed."""


class ClientMetadataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Clients whose id is the URL of their own metadata (draft-ietf-oauth-client-id-metadata-document)."""

    enabled: bool = False
    hosts: tuple[str, ...] = ()
    """From where alone. Empty: any host that the rules of egress let the node reach."""
    roles: tuple[str, ...] = ("user",)


class AssertionsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Identity assertions of an enterprise's issuer for its people
    (draft-ietf-oauth-identity-assertion-authz-grant). Taken from clients that have an API key for a secret."""

    issuers: tuple[str, ...] = ()
    """Names of entries in `auth.issuers`. Empty: no assertion is taken."""
    roles: tuple[str, ...] = ("user",)
    """Of the user's roles, those that such tokens may carry."""


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The node as an authorization server. It signs with the key of `auth.jwt`, which must be a private one."""

    enabled: bool = True
    access_token_life: Life = 900
    refresh_token_life: Seconds = 30 * 86_400
    """How long a login lasts, however often it is refreshed."""
    refresh_token_idle: Seconds = 7 * 86_400
    """How long a refresh token may lie unused."""
    client_credentials: bool = True
    """Whether an API key may be changed into access tokens."""
    command_line: bool = True
    """Know `mantlet login` as the client `mantlet`."""
    clients: tuple[ClientConfig, ...] = ()
    device: DeviceConfig = DeviceConfig()
    code: CodeConfig = CodeConfig()
    client_metadata: ClientMetadataConfig = ClientMetadataConfig()
    assertions: AssertionsConfig = AssertionsConfig()
    max_logins: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """Of one user at once; one more ends the oldest."""

    @property
    def known(self) -> tuple[ClientConfig, ...]:
        """`clients`, and the command line if it is one."""
        return (*self.clients, COMMAND_LINE) if self.command_line else self.clients

    def __post_init__(self) -> None:
        ids = [client.id for client in self.known]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"clients: two are called {twice[0]!r}")
