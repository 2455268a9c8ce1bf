"""`auth:`, as the config file spells it. Durations are seconds."""

from typing import Literal

import msgspec

from mantlet.core.caller import CallerKind
from mantlet.core.secret import Secret
from mantlet.policies.authenticate.issuers.config import DpopConfig, IssuerConfig
from mantlet.policies.authorization_server.config import ServerConfig
from mantlet.policies.forwarded.config import PeerConfig


class ApiKeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bootstrap key: `key` or `key_file`. `name` is the principal's subject; `expires` is an RFC 3339 instant."""

    name: str
    key: Secret | None = None
    key_file: str | None = None
    roles: tuple[str, ...] = ()
    tenant: str = "default"
    scopes: tuple[str, ...] = ()
    kind: CallerKind = "service"
    expires: str | None = None
    doors: tuple[Literal["http", "websocket", "tcp", "admin"], ...] = ()
    """Where alone it is taken; empty: at all of them."""


class JwtConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens of the node's own issuer, or of one whose keys stand in a file. Without a key there are none.

    Without `algorithms` each key is used with the first of its type: HS256, RS256, ES256, EdDSA (which RFC 9864
    calls Ed25519; either name is taken).
    `issuer` and `audience` default to the node's public URL, and that URL's `/mcp`.
    """

    secret: Secret | None = None
    secret_file: str | None = None
    key_file: str | None = None
    jwks_file: str | None = None
    algorithms: tuple[str, ...] = ()
    issuer: str | None = None
    audience: str | None = None
    max_token_age: int = 3600
    leeway: int = 10
    previous_secret: Secret | None = None
    """The secret before this one, still accepted until `previous_until`. `mantlet secrets rotate` leaves it in a file
    beside the new one, and then nothing need be written here."""
    previous_key_file: str | None = None
    previous_until: str | None = None
    """An RFC 3339 instant."""
    plain_type: bool = False
    """Also accept `typ: JWT` and tokens without `typ`, for issuers that do not know RFC 9068."""

    def __post_init__(self) -> None:
        has_previous = self.previous_secret is not None or self.previous_key_file is not None
        if has_previous != (self.previous_until is not None):
            raise ValueError("jwt: previous_secret or previous_key_file, and previous_until, stand together")
        if self.previous_secret is not None and self.previous_key_file is not None:
            raise ValueError("jwt: previous_secret and previous_key_file: give one of them")

    @property
    def has_key(self) -> bool:
        """Whether any key is configured."""
        return bool(self.secret or self.secret_file or self.key_file or self.jwks_file)


class MockToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a test token stands for."""

    subject: str
    tenant: str = "default"
    kind: CallerKind = "user"
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


class MockConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Test tokens, in development only."""

    tokens: dict[str, MockToken] = {}


class FailuresConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many failed authentications are answered before 429, per `window` (AUTHN-07)."""

    per_address: int = 30
    per_credential: int = 30
    window: int = 60


class MtlsCallerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a name in a client certificate stands for."""

    san: str
    """A URI (`spiffe://example/agent/a`) or DNS name of its subjectAltName, exactly; no patterns, no common names."""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tenant: str = "default"
    subject: str | None = None
    """Unset: the name itself."""
    kind: CallerKind = "service"


class MtlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Callers by client certificate. A request that also brings a token is the token's."""

    enabled: bool = False
    ca_file: str | None = None
    """Who may name callers. Unset: the listener's `tls.client_ca_file`; when both are set they are the same file."""
    crl_file: str | None = None
    """Revocation lists of that CA and what is below it, PEM. When set, a certificate is taken only while there is a
    list that has not ended, on open connections too."""
    crl_check: Literal["chain", "leaf"] = "chain"
    """As `crl_check` of a listener's `tls`."""
    callers: tuple[MtlsCallerConfig, ...] = ()
    revoked: tuple[str, ...] = ()
    """`serial:HEX`, `spki:HEX` or `sha256/BASE64` (the public key): no longer accepted, with a token or without."""
    revoked_file: str | None = None
    """More of them, one a line; read again when it changes."""


class ValidateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of tokens. Null: everything; `false` is for development."""

    issuer: bool | None = None
    """Whether `iss` of the node's own tokens (`auth.jwt`) must be the configured one. False: a token that names no
    other issuer of this node is taken when it is signed with the node's own key."""
    audience: bool | None = None
    """Whether `aud` of tokens must be this node: of its own, and of those of `auth.issuers`."""
    introspection: bool | None = None
    """True: every issuer must be asked whether a token is still good."""


class AuthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may call."""

    enabled: bool = True
    api_keys: tuple[ApiKeyConfig, ...] = ()
    jwt: JwtConfig = JwtConfig()
    issuers: tuple[IssuerConfig, ...] = ()
    """OAuth 2.1 and OpenID Connect: whose access tokens are taken here."""
    dpop: DpopConfig = DpopConfig()
    peers: tuple[PeerConfig, ...] = ()
    """Other nodes that forward their callers here (docs/forwarding.md)."""
    mtls: MtlsConfig = MtlsConfig()
    mock: MockConfig = MockConfig()
    failures: FailuresConfig = FailuresConfig()
    require_https: bool | None = None
    """Whether issuers must be reached by HTTPS. Null: outside development."""
    validate: ValidateConfig = ValidateConfig()
    server: ServerConfig | None = None
    """The node as an authorization server. Null: off."""
