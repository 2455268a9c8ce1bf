"""What a DPoP proof says, against the request that brings it (RFC 9449 section 4.3). No IO, no time of its own."""

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mantlet.core.refusal import InvalidProof

TYPE: Final = "dpop+jwt"
MAX_JTI_CHARACTERS: Final = 256
_PORTS: Final = {"https": 443, "http": 80}
_SCHEMES: Final = {"wss": "https", "ws": "http"}
"""A WebSocket opens with an HTTP request; its clients know it under another scheme."""

Place = tuple[str, str, int | None, str]


def place_of(url: str) -> Place | None:
    """Scheme, host, port and path of `url`, so that two spellings of one place are equal; None for no URL.

    Normal form as RFC 3986 sections 6.2.2 and 6.2.3 have it; query and fragment do not count.
    """
    try:
        parts = urlsplit(url)
        scheme = _SCHEMES.get(parts.scheme, parts.scheme)
        if scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            return None
        return scheme, parts.hostname, parts.port or _PORTS[scheme], unquote(parts.path, errors="strict") or "/"
    except (ValueError, UnicodeDecodeError):
        return None


def check(
    claims: Mapping[str, Any],
    *,
    method: str,
    place: Place,
    token: bytes,
    now_s: float,
    max_age_s: float,
    leeway_s: float,
) -> str:
    """The `jti` of a proof made for this method, place and token just now; raises `InvalidProof`."""
    if claims.get("htm") != method:
        raise InvalidProof("proof: htm")
    said = claims.get("htu")
    if type(said) is not str or place_of(said) != place:
        raise InvalidProof("proof: htu")
    if claims.get("ath") != _digest(token):
        raise InvalidProof("proof: ath")
    made_s: Any = claims.get("iat")
    if type(made_s) not in (int, float) or not now_s - max_age_s <= made_s <= now_s + leeway_s:
        raise InvalidProof("proof: iat is missing, or not just now")
    jti = claims.get("jti")
    if type(jti) is not str or not 0 < len(jti) <= MAX_JTI_CHARACTERS:
        raise InvalidProof("proof: no jti")
    return jti


def _digest(token: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(token).digest()).rstrip(b"=").decode()
