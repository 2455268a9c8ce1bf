"""Which key may be used with which algorithm: one row each, no other pairs exist (RFC 8725 section 3.1, TOK-01)."""

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import register_algorithm
from jwt.algorithms import Algorithm, get_default_algorithms

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""Above it one forged token costs milliseconds to refuse."""

PublicKey = Any
"""`bytes` for HMAC, else a public key object of `cryptography`."""

_ALL: Final = get_default_algorithms()
if "Ed25519" not in _ALL:
    _ALL["Ed25519"] = _ALL["EdDSA"]
    register_algorithm("Ed25519", _ALL["EdDSA"])  # for signing, where tokens are made
BY_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    # The first of each row is what the key is used with when nothing else is said.
    "oct": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    # RFC 9864: two names for one thing here; the older stands first, because more readers know it.
    "Ed25519": ("EdDSA", "Ed25519"),
}
KNOWN: Final = frozenset(name for names in BY_KIND.values() for name in names)
ALGORITHMS: Final[Mapping[str, Algorithm]] = {name: _ALL[name] for name in KNOWN}
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def kind_of(key: PublicKey) -> str:
    """The row of `key` in `BY_KIND`, or an empty text for a key that is not used here."""
    if isinstance(key, bytes):
        return "oct"
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, "")
    return ""


def why_unfit(key: PublicKey) -> str:
    """Why `key` may verify nothing, whatever the algorithm; empty when it may."""
    if not kind_of(key):
        return "is of a type that is not used here; RSA, P-256, P-384, P-521 and Ed25519 are"
    if isinstance(key, rsa.RSAPublicKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return f"has {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e < 65_537:
        return "has a public exponent below 65537"
    return ""
