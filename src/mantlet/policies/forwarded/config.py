"""`auth.peers`: nodes whose word on their callers is taken."""

import msgspec

from mantlet.core.secret import Secret


class PeerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another node that forwards its callers here (`forward_identity: exchange` or `encrypt` there)."""

    name: str
    issuer: str
    """Its public URL, or its `auth.jwt.issuer`: the `iss` of what it signs."""
    audience: str | None = None
    """Unset: this node's `/mcp`."""
    jwks_url: str | None = None
    """Unset: `/.well-known/jwks.json` at `issuer`."""
    jwks_file: str | None = None
    """Its keys in a file; then nothing is asked."""
    key: Secret | None = None
    """The derived key that it seals with for this node."""
    key_file: str | None = None
    private_key_file: str | None = None
    """This node's own key, PEM or JWK (X25519, P-256), to whose public half it seals."""
    tenant: str = "default"
    """Whose its callers are here, whatever it says."""
    roles: tuple[str, ...] = ()
    """What every caller of its has here."""
    role_map: dict[str, str] = {}
    """From its words to roles here; words that are not in it give nothing."""
    scopes: tuple[str, ...] = ()
    """Which scopes are taken from it."""
    ca_file: str | None = None
    """Certificate authorities of its own, instead of the system's."""

    def __post_init__(self) -> None:
        if not self.name or not self.issuer:
            raise ValueError("auth.peers: name and issuer must be given")
        if self.jwks_url and self.jwks_file:
            raise ValueError("auth.peers: jwks_url and jwks_file: give one of them")
