"""Tokens that the node issues itself: access tokens after RFC 9068, short-lived, for one audience (TOK-13)."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import jwt

from mantlet.core.caller import CallerKind
from mantlet.keys.signing import KeyPair

TYPE: Final = "at+jwt"
MAX_LIFE_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, and what may be written down about it."""

    token: str = field(repr=False)
    jti: str
    expires_at_s: int


def issue(
    key: KeyPair,
    *,
    issuer: str,
    audience: str,
    subject: str,
    now_s: float,
    life_s: int = MAX_LIFE_S,
    tenant: str = "default",
    roles: Collection[str] = (),
    scopes: Collection[str] = (),
    kind: CallerKind = "user",
    client_id: str = "",
    environment: str = "",
    origin: str = "",
) -> Issued:
    """Sign an access token. `origin` names the login or key that it comes from, and begins its `jti`.

    Raises `ValueError` for a life beyond `MAX_LIFE_S` or a key without its private half.
    """
    if not 0 < life_s <= MAX_LIFE_S:
        raise ValueError(f"a token lives 1 to {MAX_LIFE_S} seconds")
    if key.private is None:
        raise ValueError("the key file holds a public key, and only a private one signs")
    if not (issuer and audience and subject):
        raise ValueError("issuer, audience and subject must be given")
    jti, now = f"{origin}.{secrets.token_urlsafe(16)}" if origin else secrets.token_urlsafe(16), int(now_s)
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "client_id": client_id or subject,
        "iat": now,
        "nbf": now,
        "exp": now + life_s,
        "jti": jti,
        "tenant": tenant,
        "kind": kind,
    }
    claims |= {"roles": sorted(roles)} if roles else {}
    claims |= {"scope": " ".join(sorted(scopes))} if scopes else {}
    claims |= {"env": environment} if environment else {}
    header = {"typ": TYPE} | ({"kid": key.kid} if key.kid else {})
    return Issued(jwt.encode(claims, key.private, key.algorithm, header), jti, now + life_s)
