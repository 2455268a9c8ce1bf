"""A token exchange at the caller's own issuer: what is asked, what is believed. Pure (RFC 8693; OAUTH-07)."""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlencode

from mantlet.core.refusal import BadUpstream, Denied, Refusal
from mantlet.upstreams.oauth.document import origin, read_object
from mantlet.wire.jws import looks_like_token, parse

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
MAX_BYTES: Final = 65_536
MAX_TOKEN_CHARACTERS: Final = 16_384

_REFUSED: Final = frozenset({"invalid_request", "invalid_scope", "invalid_target", "invalid_grant", "access_denied"})
"""What the issuer says of this caller and this target; anything else it says of this node."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token that may be sent to the upstream until `ends_s` (Unix time)."""

    token: str
    ends_s: float


def form(subject_token: str, audience: str, scopes: Collection[str]) -> bytes:
    """The request's body. The issuer learns of the caller nothing that it did not issue."""
    fields = {
        "grant_type": GRANT,
        "subject_token": subject_token,
        "subject_token_type": ACCESS_TOKEN,
        "requested_token_type": ACCESS_TOKEN,
        "audience": audience,
        "resource": audience,
    }
    if scopes:
        fields["scope"] = " ".join(sorted(scopes))
    return urlencode(fields).encode()


def basic(client_id: str, client_secret: str) -> bytes:
    """`client_secret_basic` (RFC 6749 section 2.3.1: each part is form-encoded first)."""
    return b"Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode())


def read(
    status: int, body: bytes, *, audience: str, asked: Collection[str], has: Collection[str], now_s: float, max_s: float
) -> Granted:
    """The token of an answer. `asked` are the scopes that were asked for, `has` those of the caller.

    Raises `Denied` when the issuer refuses this caller, `BadUpstream` for an answer that is not to be believed: one
    that gives more than was asked for, another type, more than one audience, or no end.
    """
    answer = read_object(body, "identity: the issuer's answer")
    if status != 200:
        error = answer.get("error")
        if status in (400, 403) and error in _REFUSED:
            raise Denied("The caller's issuer gives no token for this server.", why=f"identity: the issuer: {error}")
        raise BadUpstream(why=f"identity: the token endpoint answered {status}")
    token, expires_in = answer.get("access_token"), answer.get("expires_in")
    if type(token) is not str or not 0 < len(token) <= MAX_TOKEN_CHARACTERS or quote(token, safe="+/=~") != token:
        raise BadUpstream(why="identity: no token was issued")
    if str(answer.get("token_type")).lower() != "bearer" or answer.get("issued_token_type") not in (ACCESS_TOKEN, JWT):
        raise BadUpstream(why="identity: what was issued is no bearer access token")
    if type(expires_in) is not int or expires_in <= 0:
        raise BadUpstream(why="identity: the token has no end")
    allowed = frozenset(asked) or frozenset(has)
    _check_scopes(answer.get("scope", ""), allowed)
    if looks_like_token(token.encode()) and token.count(".") == 2:
        _check_claims(token, audience, allowed)
    return Granted(token, now_s + min(float(expires_in), max_s))


def read_endpoint(body: bytes, issuer: str) -> str:
    """The token endpoint of the metadata; on the issuer's own origin, or the operator names it (OAUTH-02).

    Raises `BadUpstream`.
    """
    metadata = read_object(body, "identity: the issuer's answer")
    endpoint = metadata.get("token_endpoint")
    if metadata.get("issuer") != issuer:
        raise BadUpstream(why="identity: the metadata is another issuer's")
    if type(endpoint) is not str or origin(endpoint) != origin(issuer):
        raise BadUpstream(why="identity: the token endpoint is on another host; set exchange.token_endpoint if it is")
    return endpoint


def _check_claims(token: str, audience: str, allowed: frozenset[str]) -> None:
    # Not verified: it came from the issuer itself, over TLS. Looked at, because the upstream will.
    try:
        claims = parse(token.encode()).claims
    except Refusal as refusal:
        raise BadUpstream(why=f"identity: the issued token: {refusal.why}") from refusal
    named = claims.get("aud")
    if named not in (audience, [audience]):
        raise BadUpstream(why="identity: the issued token is not for this upstream alone")
    _check_scopes(claims.get("scope", ""), allowed)


def _check_scopes(scope: Any, allowed: frozenset[str]) -> None:
    words = scope.split() if type(scope) is str else scope
    if type(words) is not list or not all(type(word) is str for word in words) or not allowed.issuperset(words):
        raise BadUpstream(why="identity: the issued token has more scopes than were asked for")
