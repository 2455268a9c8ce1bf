"""JSON Web Keys: reading sets of verification keys, writing our own, and thumbprints (RFC 7517, RFC 7638)."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from jwt import PyJWK
from jwt.exceptions import InvalidKeyError, PyJWKError

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidJson
from mantlet.keys.algorithms import ALGORITHMS, BY_KIND, PublicKey, kind_of, why_unfit
from mantlet.wire.jsonrpc import decode

MAX_KEYS: Final = 100
"""In one set; the largest published ones have a dozen."""
_REQUIRED: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key and the algorithms it may verify. `kid` is a map key and nothing more (TOK-03)."""

    kid: str | None
    key: PublicKey = field(repr=False)
    algorithms: frozenset[str]


def read_set(text: str, where: str) -> list[VerificationKey]:
    """The signature keys of a JWK set, or of one JWK; others are passed over as RFC 7517 section 5 asks.

    Raises `ConfigError` for a set that is broken, holds a bad signature key, two keys of one `kid`, or none at all.
    """
    try:
        value = decode(text.encode())
    except InvalidJson as error:
        raise ConfigError(where, "is not strict JSON") from error
    members = value.get("keys", [value]) if isinstance(value, dict) else None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ConfigError(where, "is not a JWK set", 'one object with a member "keys"')
    keys = [key for member in members if (key := _read(member, where)) is not None]
    kids = [key.kid for key in keys if key.kid is not None]
    if not keys:
        raise ConfigError(where, "has no key that can verify signatures")
    if len(set(kids)) != len(kids):
        raise ConfigError(where, "has two keys with the same kid")
    return keys


def read_published(body: bytes, where: str) -> list[VerificationKey]:
    """The public signature keys of a set that somebody else publishes; raises `ValueError`.

    A key that this node does not use (another type, too short, a shared secret) is passed over, as RFC 7517 section 5
    asks: it says nothing about the others. Two usable keys with one `kid` make the set ambiguous, hence worthless.
    """
    try:
        value = decode(body)
    except InvalidJson as error:
        raise ValueError("is not strict JSON") from error
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ValueError(f"is no JWK set of at most {MAX_KEYS} keys")
    keys: list[VerificationKey] = []
    for member in members:
        # A private key that its owner publishes is everybody's, and a shared secret in public is none.
        if isinstance(member, dict) and not _PRIVATE.isdisjoint(member):
            continue
        with suppress(ConfigError):
            key = _read(member, where)
            if key is not None:
                keys.append(key)
    kids = [key.kid for key in keys if key.kid is not None]
    if len(set(kids)) != len(kids):
        raise ValueError("has two keys with the same kid")
    return keys


def public_jwk(key: PublicKey, algorithm: str) -> dict[str, str]:
    """The public key as a JWK with its thumbprint as `kid`."""
    whole: Mapping[str, Any] = json.loads(ALGORITHMS[algorithm].to_jwk(key))
    bare = {name: whole[name] for name in _REQUIRED[whole["kty"]]}
    return {**bare, "kid": thumbprint(bare), "use": "sig", "alg": algorithm}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638, of a public key."""
    required = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def write_set(jwks: Iterable[Mapping[str, str]]) -> bytes:
    """A JWK set as it is published; refuses private members, so that no slip can publish a private key."""
    members = list(jwks)
    for jwk in members:
        if not _PRIVATE.isdisjoint(jwk):
            raise ValueError("a private key cannot be published")
    return json.dumps({"keys": members}, separators=(",", ":")).encode()


def _read(jwk: object, where: str) -> VerificationKey | None:
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    kid = jwk.get("kid")
    if kid is not None and type(kid) is not str:
        raise ConfigError(where, "has a kid that is not a text")
    try:
        # By its type alone: PyJWT does not know every name that `alg` may have, and we compare it below.
        loaded = PyJWK.from_dict({name: value for name, value in jwk.items() if name != "alg"}).key
    except (PyJWKError, InvalidKeyError, ValueError, TypeError, KeyError):
        if jwk.get("alg") in ALGORITHMS:
            # `from None`: the error may show members of a private key.
            raise ConfigError(where, f"has a broken key (kid {kid!r})") from None
        return None  # a key type or curve of somebody else
    key = loaded.public_key() if hasattr(loaded, "public_key") else loaded
    kind = kind_of(key)
    if not kind:
        return None
    if why := why_unfit(key):
        raise ConfigError(where, f"the key with kid {kid!r} {why}")
    named = jwk.get("alg")
    if named is not None and named not in BY_KIND[kind]:
        raise ConfigError(where, f"the key with kid {kid!r} names an algorithm that its type does not have")
    return VerificationKey(kid, key, frozenset(BY_KIND[kind] if named is None else (named,)))


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or not {"verify", "sign"} & set(operations)):
        return False
    return jwk.get("use", "sig") == "sig" and jwk.get("alg", "HS256") in ALGORITHMS
