"""`user:` of an upstream. Durations are seconds."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from mantlet.core.secret import Secret

OWN: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "resource", "code_challenge", "nonce", "request"}
    | {"code_challenge_method", "request_uri", "response_mode"}
)
"""Parameters that are the node's to set."""
DAY_S: Final = 86_400


class IdpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The callers' own issuer, where it gives assertions about them for other servers (ID-JAG)."""

    issuer: str
    """As in `auth.issuers`; its callers alone can be asserted."""
    client_id: str
    """How it knows this node."""
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    client_auth: Literal["basic", "post"] = "basic"
    private_key_file: str | None = None
    """Instead of a secret, as in `user`."""
    token_endpoint: str | None = None
    """Where it is, when that is not on the issuer's own host."""
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if bool(self.client_secret or self.client_secret_file) == bool(self.private_key_file):
            raise ValueError("user.idp: client_secret_file or private_key_file, one of them")


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`forward_identity: user`: where and as whom the node asks for each caller's grant."""

    issuer: str
    """The upstream's authorization server, as it calls itself; its metadata says the rest."""
    client_id: str | None = None
    """How it knows this node. Unset: by the URL of the metadata that the node publishes (client metadata document)."""
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    client_auth: Literal["basic", "post"] = "basic"
    """Where the secret stands: in the header, or in the form for servers that know no other."""
    private_key_file: str | None = None
    """Instead of a secret: the PEM key that signs assertions of who the node is (`private_key_jwt`)."""
    grant: Literal["code", "id_jag"] = "code"
    """`code`: each caller consents once, on a page. `id_jag`: the callers' issuer (`idp`) says who they are, and nobody
    is asked."""
    idp: IdpConfig | None = None
    scope: tuple[str, ...] = ()
    """What is asked for. Some servers give no refresh token without `offline_access`."""
    resource: str | None = None
    """For which resource (RFC 8707). Unset: the upstream's URL. Empty: none is named, for servers that refuse it."""
    parameters: Mapping[str, str] = {}
    """More for the authorization request, such as Google's `access_type: offline`."""
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    """Both set: no metadata is asked for, and S256 is taken to be understood. The second alone: where it is when that
    is not on the issuer's own host."""
    revocation_endpoint: str | None = None
    refresh_before: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 60
    """How long before its end a token is refreshed."""
    life: Annotated[int, msgspec.Meta(ge=60, le=3650 * DAY_S)] = 90 * DAY_S
    """How long a consent counts; then the user is asked anew."""
    ca_file: str | None = None
    """Certificate authorities of the issuer's own, instead of the system's."""

    def __post_init__(self) -> None:
        has_secret = bool(self.client_secret or self.client_secret_file)
        if has_secret and self.private_key_file:
            raise ValueError("user: client_secret_file or private_key_file, not both")
        if has_secret and not self.client_id:
            raise ValueError("user.client_id: whose secret it is must be said")
        if (self.grant == "id_jag") != (self.idp is not None):
            raise ValueError("user.idp: goes with grant: id_jag")
        if self.grant == "id_jag" and not (has_secret or self.private_key_file):
            raise ValueError(
                "user: grant: id_jag needs a client that proves who it is: client_secret_file and client_id"
            )
        if self.authorization_endpoint and not self.token_endpoint:
            raise ValueError("user.token_endpoint: goes with authorization_endpoint")
        if wrong := sorted(OWN & set(self.parameters)):
            raise ValueError(f"user.parameters: {wrong[0]} is the node's to set")
