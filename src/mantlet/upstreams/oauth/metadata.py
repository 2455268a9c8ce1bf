"""What an authorization server says of itself, and which of that is believed. Pure (RFC 8414, RFC 9207; OAUTH-02)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.oauth.document import origin, read_object

MAX_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where things are asked. Empty text: not offered, or not known."""

    token: str
    authorization: str = ""
    revocation: str = ""
    says_iss: bool = False
    """Its answers name it (`authorization_response_iss_parameter_supported`): one that does not is not its."""


def well_known(issuer: str) -> tuple[str, ...]:
    """Where the metadata may be, in the order asked: RFC 8414 first, then OpenID Connect, inserted and appended."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
    if not path:
        return (f"{root}{oauth}", f"{root}{openid}")
    return (f"{root}{oauth}{path}", f"{root}{openid}{path}", f"{root}{path}{openid}")


def read_endpoints(body: bytes, issuer: str, *, token: str = "", authorization: str = "") -> Endpoints:
    """The endpoints that `body` names for `issuer`; `token` and `authorization` are those that the operator named.

    A client secret goes to the issuer's own origin, or to where the operator says (OAUTH-02). Without S256 there is no
    flow (OAUTH-03). Raises `BadUpstream`.
    """
    document = read_object(body, "oauth: the metadata")
    if document.get("issuer") != issuer:
        raise BadUpstream(why="oauth: the metadata is another issuer's")
    found = token or _url(document, "token_endpoint")
    if not token and origin(found) != origin(issuer):
        raise BadUpstream(why="oauth: the token endpoint is on another host; name it with token_endpoint if it is")
    methods = document.get("code_challenge_methods_supported")
    where = authorization or _url(document, "authorization_endpoint")
    revocation = _url(document, "revocation_endpoint")
    return Endpoints(
        found,
        where if authorization or (type(methods) is list and "S256" in methods) else "",
        revocation if origin(revocation) == origin(found) else "",
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _url(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name, "")
    if type(value) is not str or len(value) > 2048 or not value.isascii() or not value.isprintable():
        raise BadUpstream(why=f"oauth: {name} is no URL")
    if value and (" " in value or origin(value)[0] not in ("https", "http") or not origin(value)[1] or "#" in value):
        raise BadUpstream(why=f"oauth: {name} is no URL")
    return value
