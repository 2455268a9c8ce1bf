"""A JWS in compact form, taken apart and checked as far as that goes without a key (RFC 7515, RFC 8725).

Everything that two readers could take apart differently is refused: other serialisations, padding, stray bits at the
end of a base64url part, repeated JSON members, and every header that changes what is signed or who vouches for the key.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.refusal import InvalidCredential, InvalidJson
from mantlet.wire.jsonrpc import Bounds, decode

MAX_BYTES: Final = 16_384
"""TOK-08."""
MAX_KID_CHARACTERS: Final = 256

_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})")
_BOUNDS: Final = Bounds(max_depth=16, max_keys=1000)
REFUSED_HEADERS: Final = frozenset({"crit", "b64", "zip", "jku", "jwk", "x5u", "x5c", "enc", "epk", "p2c", "p2s"})
"""`crit`: we know no critical extension. `b64`, `zip`: change what is signed (TOK-02). `jku` to `x5c`: a key or a link
to one that the sender chose (TOK-03). The rest belong to encryption. Refused rather than ignored: no honest issuer
of access tokens sends them, and a look-alike that ignores them elsewhere is an attack in the making."""
_REFUSED_IN_PROOFS: Final = REFUSED_HEADERS - {"jwk"}


@dataclass(frozen=True, slots=True)
class Jws:
    """A token that is well formed and **not** verified: nobody may believe `claims` before the signature is checked."""

    algorithm: str
    kid: str | None
    type: str | None
    """`typ`, folded to lower case without `application/` (RFC 7515 section 4.1.9); None when absent."""
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def looks_like_token(credential: bytes) -> bool:
    """Whether `credential` means to be a JWS or JWE of any serialisation, however broken."""
    return credential.startswith((b"eyJ", b"{", b"ey")) and (b"." in credential or credential[:1] == b"{")


def parse(token: bytes) -> Jws:
    """Take `token` apart; raises `InvalidCredential` for anything but a plain compact JWS with a claims object."""
    header, *parts = _take_apart(token)
    if not REFUSED_HEADERS.isdisjoint(header):
        raise InvalidCredential("token: header parameter not accepted")
    return _jws(header, *parts)


def parse_proof(token: bytes) -> tuple[Jws, Mapping[str, Any]]:
    """The same for a proof, and the key that its header brings (RFC 9449 section 4.2)."""
    header, *parts = _take_apart(token)
    if not _REFUSED_IN_PROOFS.isdisjoint(header):
        raise InvalidCredential("proof: header parameter not accepted")
    jwk = header.get("jwk")
    if type(jwk) is not dict:
        raise InvalidCredential("proof: no jwk")
    return _jws(header, *parts), jwk


def _take_apart(token: bytes) -> tuple[Mapping[str, Any], bytes, bytes, bytes]:
    if len(token) > MAX_BYTES:
        raise InvalidCredential("token: too long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise InvalidCredential("token: not a compact JWS")
    return _object(_bytes_of(match[1]), "header"), match[2], token[: match.end(2)], match[3]


def _jws(header: Mapping[str, Any], claims: bytes, signed: bytes, signature: bytes) -> Jws:
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if type(algorithm) is not str:
        raise InvalidCredential("token: no algorithm")
    if kid is not None and (type(kid) is not str or len(kid) > MAX_KID_CHARACTERS):
        raise InvalidCredential("token: kid is not a short text")
    if "kid" in header and kid is None:
        raise InvalidCredential("token: kid is not a short text")
    if "typ" in header and type(kind) is not str:
        raise InvalidCredential("token: typ is not a text")
    return Jws(
        algorithm,
        kid,
        None if kind is None else kind.lower().removeprefix("application/"),
        _object(_bytes_of(claims), "claims"),
        signed,
        _bytes_of(signature),
    )


def _bytes_of(part: bytes) -> bytes:
    raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) if len(part) % 4 != 1 else b""
    # One text for one value: spare bits at the end are zero, or a changed token would pass as a different one.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part:
        raise InvalidCredential("token: not canonical base64url")
    return raw


def _object(text: bytes, what: str) -> Mapping[str, Any]:
    try:
        value = decode(text, _BOUNDS)
    except InvalidJson as error:
        raise InvalidCredential(f"token: {what} is not strict JSON") from error
    if type(value) is not dict:
        raise InvalidCredential(f"token: {what} is not an object")
    return value
