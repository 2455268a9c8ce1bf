"""Where an issuer says its keys and endpoints are, and which of that is believed (RFC 8414; OAUTH-02)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.refusal import InvalidJson
from mantlet.wire.jsonrpc import Bounds, decode

OAUTH: Final = "/.well-known/oauth-authorization-server"
OPENID: Final = "/.well-known/openid-configuration"
MAX_BYTES: Final = 262_144
"""Of metadata, and of a key set; the largest published ones have a twentieth of it."""
_BOUNDS: Final = Bounds(max_depth=16, max_keys=2000)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of an issuer's metadata that a resource server needs. Empty text: not there."""

    jwks_uri: str = ""
    introspection_endpoint: str = ""


def why_no_issuer(issuer: str, *, is_plain_allowed: bool) -> str:
    """Why `issuer` cannot be an issuer identifier (RFC 8414 section 2); empty when it can."""
    if why := why_no_url(issuer, is_plain_allowed=is_plain_allowed):
        return why
    parts = urlsplit(issuer)
    return "has a query or a fragment" if parts.query or parts.fragment or "?" in issuer or "#" in issuer else ""


def why_no_url(url: str, *, is_plain_allowed: bool) -> str:
    """Why nothing is asked at `url`; empty when it may be. The egress guard decides on its address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is no URL"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "has characters that no URL has"
    if parts.scheme != "https" and not (is_plain_allowed and parts.scheme == "http"):
        return "is not https://"
    if not parts.hostname or "@" in parts.netloc:
        return "names no host, or a user"
    return ""


def well_known(issuer: str) -> tuple[str, ...]:
    """Where the metadata may be, in the order asked: RFC 8414 first, then OpenID Connect, inserted and appended."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    if not path:
        return (f"{root}{OAUTH}", f"{root}{OPENID}")
    return (f"{root}{OAUTH}{path}", f"{root}{OPENID}{path}", f"{root}{path}{OPENID}")


def read_metadata(body: bytes, issuer: str, *, is_plain_allowed: bool) -> Metadata:
    """What a document found for `issuer` says; raises `ValueError` for one that is not to be believed.

    Its `issuer` must be the very text that was configured (RFC 8414 section 3.3).
    """
    try:
        document = decode(body, _BOUNDS)
    except InvalidJson as error:
        raise ValueError("the metadata is not strict JSON") from error
    if type(document) is not dict:
        raise ValueError("the metadata is no object")
    if document.get("issuer") != issuer:
        raise ValueError("the metadata names another issuer")
    return Metadata(
        _url(document, "jwks_uri", is_plain_allowed=is_plain_allowed),
        _url(document, "introspection_endpoint", is_plain_allowed=is_plain_allowed),
    )


def is_same_host(url: str, other: str) -> bool:
    """Whether both lead to one origin: what may be told there may be told at either."""
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.hostname, one.port) == (two.scheme, two.hostname, two.port)


def _url(document: Mapping[str, Any], name: str, *, is_plain_allowed: bool) -> str:
    value = document.get(name, "")
    if type(value) is not str:
        raise ValueError(f"{name} is no text")
    if value and (why := why_no_url(value, is_plain_allowed=is_plain_allowed)):
        raise ValueError(f"{name} {why}")
    return value
