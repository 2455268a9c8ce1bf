"""This node as authorization servers know it: its id, and how it proves that it is the one."""

import secrets
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.keys.files import read_secret
from mantlet.keys.forwarded import signer
from mantlet.keys.signing import read_pem
from mantlet.node.config.model import Config
from mantlet.node.resources import public_url
from mantlet.policies.authenticate.issuers.config import IssuerConfig, LoginConfig
from mantlet.upstreams.identity import UserConfig
from mantlet.upstreams.identity.user.config import IdpConfig
from mantlet.upstreams.oauth import Registration
from mantlet.upstreams.oauth.server import Assert

CLIENT: Final = "/oauth/client"
"""Below it, the metadata by which servers know the node that know it by nothing else."""
ASSERTION_LIFE_S: Final = 60


def registered(name: str, given: UserConfig, root: str) -> Registration:
    """This node as the upstream's authorization server knows it. Raises `ConfigError`."""
    where = f"{name}: user"
    if given.client_id is None and not root.startswith("https://"):
        raise ConfigError(
            f"{where}.client_id", "is not set, and the node's own metadata is not at https", "register the node there"
        )
    client_id = given.client_id or f"{root}{CLIENT}/{name}"
    return Registration(
        given.issuer,
        client_id,
        _secret(given),
        given.client_auth,
        _assertion(given, client_id),
        given.authorization_endpoint or "",
        given.token_endpoint or "",
        given.revocation_endpoint or "",
    )


def rehearsed(config: Config, name: str, given: UserConfig) -> None:
    """Raise `ConfigError` for what would keep the node from starting."""
    registered(name, given, public_url(config))
    if given.idp is not None:
        registered_at(given.idp)


def registered_at(idp: IdpConfig) -> Registration:
    """This node as the callers' own issuer knows it. Raises `ConfigError`."""
    return Registration(
        idp.issuer,
        idp.client_id,
        _secret(idp),
        idp.client_auth,
        _assertion(idp, idp.client_id),
        token_endpoint=idp.token_endpoint or "",
    )


def registered_for_login(issuer: IssuerConfig, login: LoginConfig) -> Registration:
    """This node as an issuer of callers knows it that logs them in on the node's pages. Raises `ConfigError`."""
    return Registration(
        issuer.issuer, login.client_id, _secret(login), login.client_auth, token_endpoint=login.token_endpoint or ""
    )


def _secret(given: UserConfig | IdpConfig | LoginConfig) -> Secret | None:
    if given.client_secret is None and given.client_secret_file:
        return read_secret(given.client_secret_file)
    return given.client_secret


def _assertion(given: UserConfig | IdpConfig, client_id: str) -> Assert | None:
    if given.private_key_file is None:
        return None
    sign, issuer = signer(read_pem(given.private_key_file), "JWT"), given.issuer

    def assertion() -> str:
        now = int(SYSTEM.wall())
        return sign(
            {
                "iss": client_id,
                "sub": client_id,
                "aud": issuer,  # and nothing else: no other server can use it (OAUTH-08)
                "iat": now,
                "exp": now + ASSERTION_LIFE_S,
                "jti": secrets.token_urlsafe(16),
            }
        )

    return assertion


def described(client_id: str, redirect_uri: str, name: str, given: UserConfig) -> dict[str, Any]:
    """The node's client metadata for one authorization server (draft-ietf-oauth-client-id-metadata-document)."""
    told: dict[str, Any] = {
        "client_id": client_id,
        "client_name": name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    if given.scope:
        told["scope"] = " ".join(given.scope)
    if given.private_key_file:
        told |= {
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [read_pem(given.private_key_file).jwk]},
        }
    return told
