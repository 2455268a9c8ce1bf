"""`forward_identity` of an upstream, and its two sections. Durations are seconds."""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from mantlet.core.secret import Secret
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.identity.user.config import UserConfig
from mantlet.wire.forwarded import MAX_ACTORS, MAX_LIFE_S

Mode: TypeAlias = Literal["none", "static", "exchange", "encrypt", "user", "passthrough"]
"""What an upstream is told of the caller.

`none`: nothing. `static`: nothing; its own credential in `headers` is all, and must be there. `exchange`: a short token
for this upstream alone. `encrypt`: a token that only this agent opens, for one request. `user`: the caller's own grant
at the upstream. `passthrough`: the caller's own credential, in development only."""

Life: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIFE_S)]
Depth: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_ACTORS)]


class ExchangeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`forward_identity: exchange`: signed by this node, or by the caller's own issuer (RFC 8693)."""

    audience: str | None = None
    """Who alone takes the token. Unset: the upstream's URL; of another node, its `/mcp`."""
    scope: tuple[str, ...] = ()
    """Which of the caller's scopes go on, if the caller has them."""
    roles: tuple[str, ...] = ()
    """Which of the caller's roles go on."""
    subject: Literal["unique", "plain"] = "unique"
    """`sub`: unique among all issuers and tenants, or as the caller's issuer says it. `plain` only where there is one
    issuer: else `alice` of one is `alice` of all. `sub_id` always has both parts."""
    life: Life = MAX_LIFE_S
    """At most; never longer than the caller's own credential."""
    max_actors: Depth = 4
    """How many may act for a subject, this node included. A longer chain is refused."""
    issuer: str | None = None
    """Ask this issuer's token endpoint, for callers of this issuer; all others are refused."""
    token_endpoint: str | None = None
    """Unset: as the issuer's metadata says, on the issuer's own host."""
    client_id: str | None = None
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    ca_file: str | None = None
    """Certificate authorities of the issuer's own, instead of the system's."""

    def __post_init__(self) -> None:
        if self.issuer is None and (self.token_endpoint or self.client_id or self.client_secret):
            raise ValueError("exchange.issuer: whose tokens are exchanged must be named")
        if self.issuer is not None and not (self.client_id and (self.client_secret or self.client_secret_file)):
            raise ValueError("exchange: issuer needs client_id and client_secret_file")


class EncryptConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`forward_identity: encrypt`."""

    agent: str | None = None
    """The name that the agent's key is derived for. Unset: the upstream's name."""
    public_key_file: str | None = None
    """The agent's public key, PEM or JWK (X25519, P-256). Unset: a key derived from inter_agent.communication_key."""
    audience: str | None = None
    """Who the agent is. Unset: the upstream's URL."""
    scope: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    subject: Literal["unique", "plain"] = "unique"
    """As in `exchange`."""
    life: Life = 60
    """At most. It is for one request: as long as that takes to arrive."""
    max_actors: Depth = 4


class Told(Protocol):
    """An upstream's config, as far as it says what the upstream is told."""

    @property
    def name(self) -> str:
        """As configured."""
        ...

    @property
    def headers(self) -> Mapping[str, Secret]:
        """Its own credentials."""
        ...

    @property
    def tls(self) -> TlsConfig:
        """Its client certificate stands there."""
        ...

    @property
    def forward_identity(self) -> Mode | None:
        """None is `none`."""
        ...

    @property
    def exchange(self) -> ExchangeConfig | None:
        """Its terms."""
        ...

    @property
    def encrypt(self) -> EncryptConfig | None:
        """Its terms."""
        ...

    @property
    def user(self) -> UserConfig | None:
        """Its terms."""
        ...


def check_identity(config: Told) -> None:
    """Raise `ValueError` for settings of one upstream that do not fit together."""
    mode, names = config.forward_identity, {name.lower() for name in config.headers}
    if mode == "static" and not names and not config.tls.client_cert_file:
        raise ValueError("forward_identity: static needs the upstream's own credential in headers, or a certificate")
    if mode in ("exchange", "encrypt", "user", "passthrough") and "authorization" in names:
        raise ValueError(f"forward_identity: {mode} says Authorization, and so does headers")
    if config.exchange is not None and mode != "exchange":
        raise ValueError("exchange: goes with forward_identity: exchange")
    if config.encrypt is not None and mode != "encrypt":
        raise ValueError("encrypt: goes with forward_identity: encrypt")
    if (config.user is not None) != (mode == "user"):
        raise ValueError("forward_identity: user and the section user go together: whose grant it is must be said")


def audience_of(url: str) -> str:
    """The URL as one spelling (RFC 8707 section 2): no query, no slash at the end, no default port."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    default = {"http": 80, "https": 443}.get(scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{scheme}://{host}{port}{parts.path.rstrip('/')}"
