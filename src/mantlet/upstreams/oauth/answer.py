"""What a token endpoint answers, and what is believed of it. Pure (RFC 6749 sections 5.1 and 5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.oauth.document import read_object

MAX_BYTES: Final = 131_072
MAX_TOKEN_CHARACTERS: Final = 16_384
MAX_SCOPE_CHARACTERS: Final = 4_096
MAX_LIFE_S: Final = 10 * 365 * 86_400.0
_PLAIN: Final = "+/=~:!*'()@,;$&"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was given. `ends_s` is Unix time, 0 where the server names no end."""

    access_token: str = field(repr=False)
    ends_s: float
    refresh_token: str = field(default="", repr=False)
    scope: str = ""


class Refused(Exception):
    """The server gives nothing; `error` is its word for it (RFC 6749 section 5.2), fit for a record."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def read_tokens(status: int, body: bytes, *, now_s: float, issued_types: frozenset[str] = frozenset()) -> Tokens:
    """The tokens of an answer. Raises `Refused`, or `BadUpstream` for what is neither tokens nor a refusal.

    `issued_types`: of an exchange, which kinds of token are taken (RFC 8693); their `token_type` may be `N_A`.
    """
    answer = read_object(body, "oauth: the token endpoint's answer")
    if status != 200:
        error = answer.get("error")
        if status in (400, 401, 403) and type(error) is str and 0 < len(error) <= 64 and _is_word(error):
            raise Refused(error)
        raise BadUpstream(why=f"oauth: the token endpoint answered {status}")
    token = _token(answer, "access_token")
    if not token:
        raise BadUpstream(why="oauth: no token was given")
    if issued_types:
        if answer.get("issued_token_type") not in issued_types:
            raise BadUpstream(why="oauth: a token of another kind was given")
    elif str(answer.get("token_type")).lower() != "bearer":
        raise BadUpstream(why="oauth: what was given is no bearer token")
    scope = answer.get("scope", "")
    if type(scope) is not str or len(scope) > MAX_SCOPE_CHARACTERS or not scope.isprintable():
        raise BadUpstream(why="oauth: scope is no list of scopes")
    return Tokens(token, _end(answer, now_s), _token(answer, "refresh_token"), scope)


def _end(answer: Mapping[str, Any], now_s: float) -> float:
    life = answer.get("expires_in")
    if type(life) is str and life.isascii() and life.isdigit() and len(life) < 12:
        life = int(life)  # some send text
    if life is None:
        return 0.0
    if type(life) not in (int, float) or not 0 < life <= MAX_LIFE_S:
        raise BadUpstream(why="oauth: expires_in is no span of time")
    return float(now_s + life)


def _token(answer: Mapping[str, Any], name: str) -> str:
    """Text that can stand in a header and a form."""
    value = answer.get(name)
    if value is None:
        return ""
    if type(value) is not str or len(value) > MAX_TOKEN_CHARACTERS or quote(value, safe=_PLAIN) != value:
        raise BadUpstream(why=f"oauth: {name} is no token")
    return value


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("_", "").replace("-", "").isalnum()
