"""The signature of a proof that brings its own key: whoever made it holds that key, and nothing more (RFC 9449)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from jwt import PyJWK
from jwt.exceptions import InvalidKeyError, PyJWKError

from mantlet.core.refusal import InvalidProof
from mantlet.keys.algorithms import ALGORITHMS, BY_KIND, PublicKey, kind_of, why_unfit
from mantlet.keys.jwk import thumbprint
from mantlet.wire.jws import Jws

MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
MAX_KEYS: Final = 1024
"""Remembered, about 2 KB each: a client proves with one key many times, and reading a key costs as much as using it."""


def check_proof(jws: Jws, jwk: Mapping[str, Any]) -> str:
    """The thumbprint (RFC 7638) of the key `jwk` when `jws` is signed by it; raises `InvalidProof` else."""
    members = MEMBERS.get(jwk.get("kty", "")) if type(jwk.get("kty")) is str else None
    if members is None or not _PRIVATE.isdisjoint(jwk) or any(type(jwk.get(name)) is not str for name in members):
        raise InvalidProof("proof: jwk is no public key of a known type")
    key, print_ = _loaded(tuple((name, jwk[name]) for name in members))
    if jws.algorithm not in BY_KIND[kind_of(key)] or not ALGORITHMS[jws.algorithm].verify(
        jws.signed, key, jws.signature
    ):
        raise InvalidProof("proof: signature does not match")
    return print_


@lru_cache(maxsize=MAX_KEYS)
def _loaded(members: tuple[tuple[str, str], ...]) -> tuple[PublicKey, str]:
    try:
        key = PyJWK.from_dict(dict(members)).key
    except (PyJWKError, InvalidKeyError, ValueError, TypeError, KeyError) as error:
        raise InvalidProof("proof: jwk cannot be read") from error
    if why_unfit(key):
        raise InvalidProof("proof: jwk is a key that is not used here")
    return key, thumbprint(dict(members))
