"""`auth.issuers`, as the config file spells it. Durations are seconds."""

from typing import Annotated, Literal

import msgspec

from mantlet.core.caller import CallerKind
from mantlet.core.secret import Secret


class IntrospectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asking the issuer about tokens that cannot be read here (RFC 7662)."""

    enabled: bool = False
    client_id: str | None = None
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    url: str | None = None
    """Unset: the endpoint that the issuer's metadata names, on the issuer's own host only."""
    cache: float = 60
    """How long an answer is believed, at most 60; 0 asks with every request."""
    tokens: Literal["opaque", "all"] = "opaque"
    """`all`: also tokens whose signature was verified here, so that one revoked at the issuer ends."""
    prefix: str = ""
    """What this issuer's opaque tokens begin with; needed where several issuers are asked about such tokens."""


class ClaimsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which claims of this issuer say what. `a.b` is `b` inside `a`, unless the name is a URL."""

    subject: str = "sub"
    """A client's own token, which names nobody else, is that client's wherever this claim is missing."""
    roles: str | None = None
    """A list of texts, or one; unset: the issuer gives no roles."""
    tenant: str | None = None
    """A text; a token without it is then refused. Unset: `tenant` of this entry."""
    scopes: str | None = None
    """Unset: `scope`, and where it is missing `scp`."""


class LoginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logging in at this issuer on the node's own pages: an access token for this node is asked for, and its caller is
    who uses the browser."""

    client_id: str
    """How the issuer knows this node. Register `/oauth/login/` and the entry's name as its redirect URI."""
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    client_auth: Literal["basic", "post"] = "basic"
    scope: tuple[str, ...] = ()
    """What is asked for, besides `required_scopes`."""
    resource: str | None = None
    """For which resource (RFC 8707). Unset: the one that this issuer's tokens are for. Empty: none is named."""
    parameters: dict[str, str] = {}
    """More for the authorization request."""
    token_endpoint: str | None = None
    """Where it is, when that is not on the issuer's own host."""
    life: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)] = 43_200
    """How long a login at the node's own authorization server that begins so may be refreshed: what the issuer makes of
    the user meanwhile is not known here."""


class IssuerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One identity provider whose access tokens are taken here."""

    name: str
    issuer: str
    """Exactly as its tokens' `iss` has it."""
    audience: str | None = None
    """What its tokens' `aud` must contain. Unset: this node's `/mcp`, and below it each server's own resource."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "Ed25519", "EdDSA")
    jwks_url: str | None = None
    """Unset: as the issuer's metadata says (RFC 8414, OpenID Connect Discovery)."""
    introspection: IntrospectionConfig = IntrospectionConfig()
    login: LoginConfig | None = None
    """Null: nobody logs in at this issuer on the node's pages."""
    claims: ClaimsConfig = ClaimsConfig()
    required_scopes: tuple[str, ...] = ()
    """What every token must have; one without is answered 403 `insufficient_scope`."""
    scope_prefix: str = ""
    """Put before each scope of a token, for issuers whose tokens name less than clients ask for (Entra ID)."""
    tenant: str = "default"
    roles: tuple[str, ...] = ()
    """Every caller's of this issuer."""
    role_map: dict[str, str] = {}
    """From the issuer's words to roles here; when it is set, words that are not in it give nothing."""
    kind: CallerKind | None = None
    """Unset: `service` where the subject is the client itself, else `user`."""
    max_token_age: int = 3600
    longer_tokens: Literal["refuse", "cut"] = "refuse"
    """What becomes of a token that lives longer: refused, or taken until that age."""
    leeway: int = 10
    plain_type: bool = False
    """Also accept `typ: JWT` and tokens without `typ`: Entra ID, Google, Okta and Keycloak do not send `at+jwt`."""
    key_refresh: float = 600
    """How often the metadata and keys are fetched anew."""
    key_cooldown: float = 30
    """After a fetch, how long no token with an unknown `kid` causes another."""
    max_key_age: float = 21_600
    """How long keys are used that cannot be fetched anew; after that every token of the issuer is answered 503."""
    ca_file: str | None = None
    """Certificate authorities of the issuer's own, instead of the system's."""


class DpopConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Proofs of possession (RFC 9449)."""

    enabled: bool = True
    """Off: tokens bound to a key are refused."""
    max_age: int = 60
    """How old a proof may be."""
    leeway: int = 5
    """How far in the future its `iat` may be, for clocks that differ."""
    algorithms: tuple[str, ...] = ("ES256", "Ed25519", "EdDSA")
    nonce: Literal["off", "required"] = "off"
    """`required`: proofs must hold a nonce that this node gave a moment ago, so that none can be made in advance."""
    nonce_life: int = 300
    """How long new proofs are told to use one nonce; it is taken for as long again."""
