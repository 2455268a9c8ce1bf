"""Where a credential may stand, and where it must not (AUTHN-02, AUTHN-03; RFC 6750 section 2)."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from mantlet.core.headers import Headers
from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential, Unauthenticated

AUTHORIZATION: Final = b"authorization"
X_API_KEY: Final = b"x-api-key"
MAX_BYTES: Final = 16_384

_FIELDS: Final = frozenset({AUTHORIZATION, X_API_KEY})
_BEARER: Final = b"bearer "
DPOP: Final = b"dpop "
_TOKEN68: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""`b64token` (RFC 6750 section 2.1): no space and no comma, so two joined values never look like one."""
_PLACES: Final = frozenset(
    {
        b"access_token",
        b"accesstoken",
        b"token",
        b"api_key",
        b"apikey",
        b"api-key",
        b"x-api-key",
        b"x_api_key",
        b"id_token",
        b"jwt",
        b"auth",
        b"auth_token",
        b"authtoken",
        b"authorization",
        b"bearer",
        b"bearer_token",
        b"key",
    }
)
"""Query parameters and cookies that people put tokens in. Query strings end in logs, histories and `Referer`."""


def take(headers: Headers, query: bytes) -> bytes:
    """The one credential of a request, without its scheme; its text is for `check`.

    Raises `Unauthenticated` when there is none, `AmbiguousCredentials` for two or one in a second place,
    `InvalidCredential` for another scheme.
    """
    authorization, api_key = headers.get(AUTHORIZATION), headers.get(X_API_KEY)
    is_misplaced = has_misplaced(headers, query)
    if authorization is None and api_key is None:
        if is_misplaced:
            raise Unauthenticated(
                "Credentials are accepted in the Authorization and X-API-Key header fields only.",
                why="credential in query or cookie",
            )
        raise Unauthenticated
    if is_misplaced or (authorization is not None and api_key is not None):
        raise AmbiguousCredentials(why="credentials in two places")
    if headers.has_repeats and headers.repeated(_FIELDS) is not None:
        raise AmbiguousCredentials(why="credential header stands twice")
    if api_key is not None:
        return api_key
    assert authorization is not None
    if authorization[:7].lower() == _BEARER:
        return authorization[7:].lstrip(b" ")
    if authorization[:5].lower() == DPOP:
        return authorization[5:].lstrip(b" ")
    raise InvalidCredential("authorization scheme is neither Bearer nor DPoP")


def is_dpop(headers: Headers) -> bool:
    """Whether the credential stands under the scheme `DPoP`: a proof must then come with it (RFC 9449 section 7.1)."""
    authorization = headers.get(AUTHORIZATION)
    return authorization is not None and authorization[:5].lower() == DPOP


def is_shown_as_key(headers: Headers) -> bool:
    """Whether the credential stands in `X-API-Key`, where tokens must not (AUTHN-03)."""
    return X_API_KEY in headers and AUTHORIZATION not in headers


def is_absent(headers: Headers) -> bool:
    """Whether no header of a request is a credential."""
    return not headers.has_any(_FIELDS)


def has_misplaced(headers: Headers, query: bytes) -> bool:
    """Whether something that looks like a credential stands in the query or in a cookie."""
    cookie = headers.get(b"cookie")
    return bool(query and _has_place(query, b"&")) or (cookie is not None and _has_place(cookie, b";"))


def check(credential: bytes) -> None:
    """Return for text that can be one credential.

    Apart from `take`, because a credential that was verified a moment ago has passed it: 3 µs a call saved.
    Raises `AmbiguousCredentials` for two joined ones, `InvalidCredential` for what no provider could read.
    """
    if b"," in credential:
        # A proxy joins repeated fields with a comma (RFC 9110 section 5.3): two credentials, seen as one value.
        raise AmbiguousCredentials(why="credential header holds two values")
    if len(credential) > MAX_BYTES or _TOKEN68.fullmatch(credential) is None:
        raise InvalidCredential("credential has characters or a length that none has")


def _has_place(pairs: bytes, separator: bytes) -> bool:
    for pair in pairs.replace(b";", separator).split(separator):
        name = pair.partition(b"=")[0]
        if (unquote_to_bytes(name) if b"%" in name else name).strip().lower() in _PLACES:
            return True
    return False
