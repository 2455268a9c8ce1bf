"""A caller's identity on its way to another service: what its token says, and when that is believed (spec 4.7).

Two kinds. An *exchanged* token is an access token for one audience (RFC 9068, RFC 8693), signed by the node. A *sealed*
one can be opened by one agent only, is for one request and for one time. Both live 300 seconds at most.
"""

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.refusal import InvalidCredential

EXCHANGED: Final = "at+jwt"
SEALED: Final = "mantlet-sealed+jwt"
"""`typ` of what is inside a sealed token: opened, it must pass for no access token (RFC 8725 section 3.11)."""
MAX_LIFE_S: Final = 300
LEEWAY_S: Final = 5
MAX_ACTORS: Final = 16

REQUEST: Final = "req"
TOKEN_HASH: Final = "token_hash"  # noqa: S105 - a claim
SUBJECT_ID: Final = "sub_id"
"""RFC 9493, format `iss_sub`."""

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986 section 2.3."""
_KINDS: Final[frozenset[str]] = frozenset(get_args(CallerKind))
_MAX_TEXT_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Who a request is for, on the word of a node."""

    principal: str
    """The token's `sub`: one text for all that follows, unique unless the node was told otherwise."""
    subject: str
    """As its own issuer knows it."""
    issuer: str
    """Who vouches for the subject to the node; (tenant, issuer, subject) is one principal."""
    tenant: str
    kind: CallerKind
    roles: frozenset[str]
    scopes: frozenset[str]
    actors: tuple[str, ...]
    """Who acts for the subject, the nearest (the node) first."""
    node: str
    """The node's `iss`."""
    jti: str
    expires_at_s: float
    token_hash: str
    """SHA-256 of the token that the caller showed to the node, base64url; may be empty."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a receiver is: it takes tokens of one node, for one audience, of one environment."""

    issuer: str
    audience: str
    environment: str = ""


def request_digest(method: bytes, target: bytes, body: bytes) -> str:
    """What binds a sealed token to its request (FWD-02): the verb, path and query as sent, and the body."""
    whole = b"%b %b\n%b" % (method, target, hashlib.sha256(body).digest())
    return base64url(hashlib.sha256(whole).digest())


def token_hash(credential: bytes) -> str:
    """Names a token without revealing it."""
    return base64url(hashlib.sha256(credential).digest())


def base64url(raw: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unique_subject(caller: Caller) -> str:
    """One text for (tenant, issuer, subject): `sub` must be unique within the node's `iss` (RFC 7519 section 4.1.2).

    `alice` of one issuer would else be `alice` of all. What stands before the first `#` is the issuer; where its first
    segment has no `:`, as a scheme does, that is the tenant, quoted.
    """
    issuer = caller.issuer.replace("%", "%25").replace("#", "%23")
    text = f"{issuer}#{caller.subject}"
    is_plain = caller.tenant == "default" and ":" in issuer.partition("/")[0]
    return text if is_plain else f"{_quoted(caller.tenant)}/{text}"


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def read(claims: Mapping[str, Any], expected: Expected, now_s: float) -> Forwarded:
    """What verified `claims` say at `now_s`; raises `InvalidCredential`."""
    if claims.get("iss") != expected.issuer:
        raise InvalidCredential("forwarded: issuer")
    if claims.get("aud") != expected.audience:
        raise InvalidCredential("forwarded: audience")  # one audience, as a text: never a list
    if claims.get("env", "") != expected.environment:
        raise InvalidCredential("forwarded: of another environment")
    issued_s, expires_s = _instant(claims, "iat"), _instant(claims, "exp")
    if not 0 < expires_s - issued_s <= MAX_LIFE_S:
        raise InvalidCredential("forwarded: lives longer than accepted")
    if not issued_s - LEEWAY_S <= now_s < expires_s + LEEWAY_S:
        raise InvalidCredential("forwarded: expired, or not valid yet")
    name = claims.get(SUBJECT_ID)
    if type(name) is not dict or name.get("format") != "iss_sub":
        raise InvalidCredential("forwarded: no sub_id")
    kind = claims.get("kind")
    if type(kind) is not str or kind not in _KINDS:
        raise InvalidCredential("forwarded: kind")
    return Forwarded(
        principal=_text(claims, "sub"),
        subject=_text(name, "sub"),
        issuer=_text(name, "iss"),
        tenant=_text(claims, "tenant"),
        kind=kind,  # type: ignore[arg-type]  # one of the literals, by the lines above
        roles=_words(claims.get("roles", [])),
        scopes=frozenset(_text(claims, "scope").split()) if "scope" in claims else frozenset(),
        actors=_actors(claims),
        node=expected.issuer,
        jti=_text(claims, "jti"),
        expires_at_s=expires_s,
        token_hash=_text(claims, TOKEN_HASH) if TOKEN_HASH in claims else "",
    )


def check_request(claims: Mapping[str, Any], digest: str) -> None:
    """Raise `InvalidCredential` unless the token was made for this very request (FWD-02)."""
    # Not secret, so compared as it comes: the token is authentic by now.
    if claims.get(REQUEST) != digest:
        raise InvalidCredential("forwarded: made for another request")


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value: Any = claims.get(name)
    if type(value) not in (int, float) or not (0 <= value < 2**53) or not math.isfinite(value):
        raise InvalidCredential(f"forwarded: {name} is missing or no instant")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if type(value) is not str or not 0 < len(value) <= _MAX_TEXT_CHARACTERS or not value.isprintable():
        raise InvalidCredential(f"forwarded: {name} is no plain short text")
    return value


def _words(value: Any) -> frozenset[str]:
    if type(value) is not list or not all(type(word) is str and word for word in value):
        raise InvalidCredential("forwarded: roles is no list of texts")
    return frozenset(value)


def _actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    while "act" in claims:
        claims = claims["act"]
        if type(claims) is not dict or len(found) == MAX_ACTORS:
            raise InvalidCredential("forwarded: act is no short chain of subjects")
        found.append(_text(claims, "sub"))
    if not found:
        raise InvalidCredential("forwarded: nobody acts")
    return tuple(found)
