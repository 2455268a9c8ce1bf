"""Finding the issuer of a node, and the endpoints of an issuer (RFC 9728, RFC 8414, OpenID Connect Discovery)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mantlet.ops.login.asking import LoginError, get, why_not_safe
from mantlet.ops.remote.http import Address


@dataclass(frozen=True, slots=True)
class Resource:
    """What a token shall be for, and who makes tokens for it."""

    url: str
    issuers: Sequence[str]
    scopes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer that said it is the one that was asked for."""

    name: str
    token_endpoint: str
    device_endpoint: str = ""
    authorization_endpoint: str = ""
    revocation_endpoint: str = ""
    scopes: Sequence[str] = ()
    has_s256: bool = False
    says_iss: bool = False


def resource_of(node_url: str) -> Resource:
    """What the node at `node_url` publishes of itself. Raises `LoginError`."""
    root = node_url.rstrip("/")
    document = get(f"{root}/.well-known/oauth-protected-resource/mcp")
    if document is None:
        raise LoginError(f"{root} does not say where to get a token; name the issuer with --issuer")
    url = document.get("resource")
    # RFC 9728 section 3.3: a document about another resource would send tokens for that one here. A node of this
    # machine may know itself by its public name.
    if not isinstance(url, str) or (url != f"{root}/mcp" and not Address(root).is_local):
        raise LoginError(f"{root} speaks for {url!r} and not for itself")
    issuers = _texts(document.get("authorization_servers"))
    if not issuers:
        raise LoginError(f"{root} names no issuer; an API key is needed there, or name one with --issuer")
    return Resource(url, issuers, _texts(document.get("scopes_supported")))


def discovered(issuer: str) -> Issuer:
    """The endpoints of `issuer`. Raises `LoginError`, also when what is found is about another issuer (OAUTH-02)."""
    if why := why_not_safe(issuer):
        raise LoginError(f"the issuer {issuer[:200]!r} {why}")
    for url in _places(issuer):
        document = get(url)
        if document is None:
            continue
        if document.get("issuer") != issuer:
            raise LoginError(f"{url} is about {document.get('issuer')!r} and not about {issuer!r}")
        return _read(issuer, document)
    raise LoginError(f"{issuer} publishes no metadata")


def _places(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return [
        f"{root}/.well-known/oauth-authorization-server{path}",
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        *([f"{root}/.well-known/openid-configuration{path}"] if path else []),
    ]


def _read(issuer: str, document: Mapping[str, Any]) -> Issuer:
    def endpoint(name: str) -> str:
        url = document.get(name, "")
        if not isinstance(url, str) or (url and why_not_safe(url)):
            raise LoginError(f"{name} of {issuer} is no URL that a secret may be sent to")
        return url

    token = endpoint("token_endpoint")
    if not token:
        raise LoginError(f"{issuer} names no token_endpoint")
    return Issuer(
        issuer,
        token,
        endpoint("device_authorization_endpoint"),
        endpoint("authorization_endpoint"),
        endpoint("revocation_endpoint"),
        _texts(document.get("scopes_supported")),
        "S256" in _texts(document.get("code_challenge_methods_supported")),
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _texts(value: Any) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
