"""From the claims of a token whose signature holds to a caller, or a refusal (RFC 9068 section 4; TOK-04, TOK-05)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.refusal import InvalidCredential

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type
_PLAIN_TYPES: Final = frozenset({"jwt", None})
MAX_LEEWAY_S: Final = 60
MAX_SUBJECT_CHARACTERS: Final = 255
"""OpenID Connect Core section 2; it is stored with everything the caller does."""
MAX_ACTORS: Final = 16
_FOREIGN: Final = frozenset({"events", "nonce", "at_hash", "c_hash", "s_hash", "htm", "htu", "ath"})
"""Claims of logout, ID and proof tokens: they tell these apart where `typ` does not (RFC 8725 section 3.12)."""
_KINDS: Final[frozenset[str]] = frozenset(get_args(CallerKind))


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one issuer's tokens must say. `audience` is our canonical resource URI."""

    issuer: str
    audience: str
    max_age_s: int = 3600
    leeway_s: int = 10
    accepts_plain_type: bool = False
    environment: str = ""


def check_type(kind: str | None, claims: Mapping[str, Any], expected: Expectation) -> None:
    """Only access tokens go on; ID, logout, DPoP and assertion tokens are refused whatever the configuration."""
    if kind == ACCESS_TOKEN:
        return
    if not (expected.accepts_plain_type and kind in _PLAIN_TYPES):
        raise InvalidCredential("token: typ is not at+jwt")
    if not _FOREIGN.isdisjoint(claims):
        raise InvalidCredential("token: is not an access token")


def read(claims: Mapping[str, Any], expected: Expectation, now_s: float) -> Caller:
    """The caller that `claims` speak for at `now_s`; raises `InvalidCredential`."""
    if claims.get("iss") != expected.issuer:
        raise InvalidCredential("token: issuer")
    _check_audience(claims.get("aud"), expected.audience)
    expires_at_s = _check_times(claims, expected, now_s)
    if claims.get("env", expected.environment) != expected.environment:
        raise InvalidCredential("token: of another environment")  # keys that were copied do not open production
    if "cnf" in claims:
        # A sender-constrained token is no bearer token, and nobody here checks the proof (TOK-11).
        raise InvalidCredential("token: is bound to a key, and no proof is accepted here")
    subject = _text(claims, "sub", "")
    if not subject:
        raise InvalidCredential("token: no subject")
    return Caller(
        subject,
        expected.issuer,
        "jwt",
        _text(claims, "tenant", "default"),
        _kind(claims, subject),
        _roles(claims.get("roles", [])),
        _scopes(claims.get("scope", "")),
        expires_at_s,
        _text(claims, "jti", ""),
        actors(claims),
    )


def actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Who acts for the subject, the nearest first (RFC 8693 section 4.1). A chain that cannot be read is no chain."""
    found: list[str] = []
    while "act" in claims:
        claims = claims["act"]
        if type(claims) is not dict or len(found) == MAX_ACTORS or not (actor := _text(claims, "sub", "")):
            raise InvalidCredential("token: act is not a short chain of subjects")
        found.append(actor)
    return tuple(found)


def _check_audience(audience: Any, ours: str) -> None:
    if type(audience) is list:
        if ours in audience and all(type(one) is str for one in audience):
            return
    elif audience == ours:
        return
    raise InvalidCredential("token: audience")


def _check_times(claims: Mapping[str, Any], expected: Expectation, now_s: float) -> float:
    issued_s, not_before_s, expires_s = (_instant(claims, name) for name in ("iat", "nbf", "exp"))
    if now_s >= expires_s + expected.leeway_s:
        raise InvalidCredential("token: expired")
    if now_s < not_before_s - expected.leeway_s or now_s < issued_s - expected.leeway_s:
        raise InvalidCredential("token: not valid yet")
    if not 0 < expires_s - issued_s <= expected.max_age_s:
        raise InvalidCredential("token: lives longer than accepted")
    return expires_s


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value: Any = claims.get(name)
    # `type`, not `isinstance`: true is not an instant.
    if type(value) not in (int, float) or not (0 <= value < 2**53) or not math.isfinite(value):
        raise InvalidCredential(f"token: {name} is missing or no instant")
    return float(value)


def _text(claims: Mapping[str, Any], name: str, default: str) -> str:
    value = claims.get(name, default)
    if (
        type(value) is not str
        or len(value) > MAX_SUBJECT_CHARACTERS
        or not (value.isprintable() and value.strip() == value)
    ):
        raise InvalidCredential(f"token: {name} is not a plain short text")
    return value


def _kind(claims: Mapping[str, Any], subject: str) -> CallerKind:
    value = claims.get("kind")
    if value is None:
        # RFC 9068 section 2.2: the subject of a token without a resource owner is the client.
        return "service" if claims.get("client_id") == subject else "user"
    if type(value) is not str or value not in _KINDS:
        raise InvalidCredential("token: kind")
    return value  # type: ignore[return-value]  # one of the literals, by the line above


def _roles(value: Any) -> frozenset[str]:
    if type(value) is not list or not all(type(role) is str and role for role in value):
        raise InvalidCredential("token: roles is not a list of texts")
    return frozenset(value)


def _scopes(value: Any) -> frozenset[str]:
    if type(value) is not str:
        raise InvalidCredential("token: scope is not a text")
    return frozenset(value.split())
