"""From the claims of a token whose signature holds to a caller, or a refusal (RFC 9068 section 4; TOK-04, TOK-05)."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from mantlet.core.caller import Binding, Caller, CallerKind
from mantlet.core.refusal import InvalidCredential

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type
_PLAIN_TYPES: Final = frozenset({"jwt", None})
MAX_LEEWAY_S: Final = 60
MAX_SUBJECT_CHARACTERS: Final = 255
"""OpenID Connect Core section 2; it is stored with everything the caller does."""
MAX_ACTORS: Final = 16
_FOREIGN: Final = frozenset({"events", "nonce", "at_hash", "c_hash", "s_hash", "htm", "htu", "ath"})
"""Claims of logout, ID and proof tokens: they tell these apart where `typ` does not (RFC 8725 section 3.12)."""
_ACCESS_WORDS: Final = ("Bearer", "DPoP")
_CONFIRMATIONS: Final = frozenset({"x5t#S256", "jkt"})
_DIGEST_CHARACTERS: Final = 43
"""32 bytes in base64url."""
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
    parts: Mapping[str, str] = field(default_factory=dict)
    """Resources inside `audience`, each with its path: a token for one of them is taken there alone (RFC 8707)."""
    needs_not_before: bool = True
    """RFC 9068 does not ask for `nbf`, and few issuers send it; where it is missing, `iat` stands for it."""
    checks_issuer: bool = True
    """False, in development alone: `iss` may be any text or missing; the caller is `issuer`'s all the same."""
    checks_audience: bool = True
    """False, in development alone: a token for anybody is taken everywhere."""
    cuts_long: bool = False
    """A token that lives longer than `max_age_s` is taken until that age, instead of not at all."""


def check_type(kind: str | None, claims: Mapping[str, Any], expected: Expectation) -> None:
    """Only access tokens go on; ID, logout, DPoP and assertion tokens are refused whatever the configuration."""
    if kind == ACCESS_TOKEN:
        return
    if not (expected.accepts_plain_type and kind in _PLAIN_TYPES):
        raise InvalidCredential("token: typ is not at+jwt")
    # Keycloak says it inside, where its ID and refresh tokens carry other words.
    if not _FOREIGN.isdisjoint(claims) or claims.get("typ", "Bearer") not in _ACCESS_WORDS:
        raise InvalidCredential("token: is not an access token")


def read(claims: Mapping[str, Any], expected: Expectation, now_s: float) -> Caller:
    """The caller that `claims` speak for at `now_s`; raises `InvalidCredential`."""
    if expected.checks_issuer and claims.get("iss") != expected.issuer:
        raise InvalidCredential("token: issuer")
    paths = paths_of(claims.get("aud"), expected)
    expires_at_s = end_of(claims, expected, now_s)
    if claims.get("env", expected.environment) != expected.environment:
        raise InvalidCredential("token: of another environment")  # keys that were copied do not open production
    subject = text(claims, "sub")
    if not subject:
        raise InvalidCredential("token: no subject")
    return Caller(
        subject,
        expected.issuer,
        "jwt",
        tenant=text(claims, "tenant", "default"),
        kind=_kind(claims, subject),
        roles=_roles(claims.get("roles", [])),
        scopes=_scopes(claims.get("scope", "")),
        expires_at_s=expires_at_s,
        credential_id=text(claims, "jti"),
        act=actors(claims),
        binding=binding_of(claims, paths),
        issued_at_s=float(claims["iat"]),  # an instant, by the line that found the end
    )


def actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Who acts for the subject, the nearest first (RFC 8693 section 4.1). A chain that cannot be read is no chain."""
    found: list[str] = []
    while "act" in claims:
        claims = claims["act"]
        if type(claims) is not dict or len(found) == MAX_ACTORS or not (actor := text(claims, "sub")):
            raise InvalidCredential("token: act is not a short chain of subjects")
        found.append(actor)
    return tuple(found)


def paths_of(audience: Any, expected: Expectation) -> tuple[str, ...]:
    """At which paths alone a token with this `aud` is taken; none when at all. Raises for a token not meant for us."""
    if not expected.checks_audience:
        return ()
    named = audience if type(audience) is list else [audience]
    if not all(type(one) is str for one in named):
        raise InvalidCredential("token: audience")
    if expected.audience in named:
        return ()
    if paths := tuple(expected.parts[one] for one in named if one in expected.parts):
        return paths
    raise InvalidCredential("token: audience")


def binding_of(claims: Mapping[str, Any], paths: tuple[str, ...] = ()) -> Binding | None:
    """What every request with the token must show (RFC 7800; TOK-11). A confirmation that cannot be read is none."""
    if "cnf" not in claims:
        return Binding(paths=paths) if paths else None
    confirmation = claims["cnf"]
    if type(confirmation) is not dict or not confirmation or not _CONFIRMATIONS.issuperset(confirmation):
        raise InvalidCredential("token: is bound to a key in a way that is not checked here")
    digests = {name: _digest(value) for name, value in confirmation.items()}
    certificate = digests["x5t#S256"].hex() if "x5t#S256" in digests else ""
    return Binding(certificate, confirmation.get("jkt", ""), paths)


def _digest(value: Any) -> bytes:
    if type(value) is str and len(value) == _DIGEST_CHARACTERS and value.isascii():
        try:
            return base64.b64decode(value + "=", altchars=b"-_", validate=True)
        except binascii.Error:
            pass
    raise InvalidCredential("token: cnf is no SHA-256 digest")


def end_of(claims: Mapping[str, Any], expected: Expectation, now_s: float) -> float:
    """When a token ends that holds at `now_s`; raises for one that does not (TOK-04)."""
    issued_s, expires_s = _instant(claims, "iat"), _instant(claims, "exp")
    has_not_before = expected.needs_not_before or "nbf" in claims
    not_before_s = _instant(claims, "nbf") if has_not_before else issued_s
    if not 0 < expires_s - issued_s <= expected.max_age_s:
        if not (expected.cuts_long and expires_s > issued_s):
            raise InvalidCredential("token: lives longer than accepted")
        expires_s = issued_s + expected.max_age_s
    if now_s >= expires_s + expected.leeway_s:
        raise InvalidCredential("token: expired")
    if now_s < not_before_s - expected.leeway_s or now_s < issued_s - expected.leeway_s:
        raise InvalidCredential("token: not valid yet")
    return expires_s


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value: Any = claims.get(name)
    # `type`, not `isinstance`: true is not an instant.
    if type(value) not in (int, float) or not (0 <= value < 2**53) or not math.isfinite(value):
        raise InvalidCredential(f"token: {name} is missing or no instant")
    return float(value)


def text(claims: Mapping[str, Any], name: str, default: str = "") -> str:
    """The plain short text that stands under `name`; raises for anything else there."""
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
