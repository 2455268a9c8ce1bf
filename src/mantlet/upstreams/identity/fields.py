"""The fields besides the token, by environment (spec 4.7), and what of a caller's own request names its token."""

from typing import Final
from urllib.parse import quote

from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.upstreams.identity.port import Field
from mantlet.wire.forwarded import token_hash

AUTHORIZATION: Final = b"authorization"
API_KEY: Final = b"x-api-key"
MAX_TEXT_CHARACTERS: Final = 512


def bearer(token: str) -> Field:
    """The one place where a token stands (RFC 6750 section 2.1)."""
    return (AUTHORIZATION, b"Bearer " + token.encode())


class About:
    """The fields that say of a request that it is made for somebody."""

    __slots__ = ("_always", "_is_development")

    def __init__(self, version: str, *, is_development: bool) -> None:
        self._always: tuple[Field, ...] = ((b"x-auth-type", b"forwarded"), (b"x-agent-version", version.encode()))
        self._is_development = is_development

    def of(self, caller: Caller) -> tuple[Field, ...]:
        """In production nothing personal: a header ends in logs."""
        if not self._is_development:
            return self._always
        return (
            *self._always,
            (b"x-forwarded-auth-type", _plain(caller.method)),
            (b"x-forwarded-user-id", _plain(caller.subject)),
            (b"x-forwarded-auth-provider", _plain(caller.issuer)),
        )


def shown(headers: Headers) -> bytes:
    """The credential that the caller's request came with, or nothing: a socket's later messages bring none."""
    value = headers.get(AUTHORIZATION)
    if value is None:
        return headers.get(API_KEY) or b""
    return value.partition(b" ")[2].strip()


def hash_of_shown(headers: Headers) -> str:
    """Names it; for `Headers.once`."""
    credential = shown(headers)
    return token_hash(credential) if credential else ""


def _plain(text: str) -> bytes:
    return quote(text[:MAX_TEXT_CHARACTERS], safe=":/#@+=,.!~*'()[] ").encode()
