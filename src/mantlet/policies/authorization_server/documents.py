"""What strangers may read of the authorization server: its metadata (RFC 8414) and its public keys (RFC 7517)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.policies.authorization_server.config import ServerConfig
from mantlet.wire import jsonrpc

WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
JWKS: Final = "/.well-known/jwks.json"
TOKEN: Final = "/oauth/token"  # noqa: S105 - a path
REVOKE: Final = "/oauth/revoke"
AUTHORIZE: Final = "/oauth/authorize"
DEVICE_AUTHORIZATION: Final = "/oauth/device_authorization"
DEVICE: Final = "/oauth/device"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ID_JAG_PROFILE: Final = "urn:ietf:params:oauth:grant-profile:id-jag"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


def documents(
    config: ServerConfig,
    *,
    issuer: str,
    public_url: str,
    jwks: Sequence[Mapping[str, str]],
    grants: Collection[str],
    scopes: Collection[str] = (),
) -> Mapping[str, bytes]:
    """Each document by its path. The well-known segment stands between host and path (RFC 8414 section 3.1)."""
    found = {f"{WELL_KNOWN}{urlsplit(issuer).path.rstrip('/')}": metadata(config, issuer, public_url, grants, scopes)}
    if jwks:
        found[JWKS] = {"keys": [dict(key) for key in jwks]}
    return {path: jsonrpc.encode(document) for path, document in found.items()}


def metadata(
    config: ServerConfig, issuer: str, public_url: str, grants: Collection[str], scopes: Collection[str]
) -> dict[str, Any]:
    """Only what is offered is named: a client that finds no endpoint does not try it."""
    root = public_url.rstrip("/")
    has_code = "authorization_code" in grants
    told: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": root + TOKEN,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
        "revocation_endpoint": root + REVOKE,
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
        "jwks_uri": root + JWKS,
        "grant_types_supported": sorted(grants),
        "response_types_supported": ["code"] if has_code else [],
    }
    if has_code:
        told |= {
            "authorization_endpoint": root + AUTHORIZE,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": config.client_metadata.enabled,
        }
    if JWT_BEARER in grants:
        told["authorization_grant_profiles_supported"] = [ID_JAG_PROFILE]
    if DEVICE_GRANT in grants:
        told["device_authorization_endpoint"] = root + DEVICE_AUTHORIZATION
    if scopes:
        told["scopes_supported"] = sorted(scopes)
    return told
