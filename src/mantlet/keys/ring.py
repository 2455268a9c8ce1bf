"""The verification keys of one issuer: which of them may speak for a token, and whether it does (TOK-01, TOK-03)."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_weak
from mantlet.keys.algorithms import ALGORITHMS, BY_KIND, KNOWN, kind_of
from mantlet.keys.files import read_public, read_secret
from mantlet.keys.jwk import VerificationKey, read_published, read_set
from mantlet.keys.signing import read_pem
from mantlet.wire.jws import Jws

_DER: Final = Encoding.DER
_PUBLIC: Final = PublicFormat.SubjectPublicKeyInfo
_HMAC: Final = frozenset(BY_KIND["oct"])
_MIN_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518 section 3.2: a key as long as the hash."""


class KeyRing:
    """Immutable. A ring is one issuer's: keys of another issuer never stand in it, whatever their `kid` (TOK-06)."""

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._all = tuple(keys)
        self._names = {id(key): _name_of(key) for key in self._all}
        self._by_kid: Mapping[str, VerificationKey] = {key.kid: key for key in keys if key.kid is not None}
        self.algorithms: frozenset[str] = frozenset().union(*(key.algorithms for key in keys))
        if self.algorithms & _HMAC and self.algorithms - _HMAC:
            raise ConfigError("auth.jwt", "mixes a shared secret with public keys", "give the issuer one of the two")

    def check(self, jws: Jws, /) -> str:
        """The name of the key that signed; raises `InvalidCredential` when none of them did. No IO, ever."""
        key = self._key_for(jws)
        if jws.algorithm not in key.algorithms:
            raise InvalidCredential("token: algorithm not accepted")
        if not ALGORITHMS[jws.algorithm].verify(jws.signed, key.key, jws.signature):
            raise InvalidCredential("token: signature does not match")
        return self._names[id(key)]

    def names(self) -> Collection[str]:
        """Of each key a digest: it has the same in the ring of the next configuration, and no other key has it."""
        return self._names.values()

    def has(self, jws: Jws, /) -> bool:
        """Whether a key for `jws` stands here, so that a newer set would say nothing else."""
        return jws.kid is None or jws.kid in self._by_kid or (len(self._all) == 1 and self._all[0].kid is None)

    def _key_for(self, jws: Jws) -> VerificationKey:
        if jws.kid is not None:
            key = self._by_kid.get(jws.kid)
            # A lone key without a kid (a shared secret) takes any: the kid is a hint, the signature decides.
            if key is None and len(self._all) == 1 and self._all[0].kid is None:
                return self._all[0]
            if key is None:
                raise InvalidCredential("token: unknown kid")
            return key
        fitting = [key for key in self._all if jws.algorithm in key.algorithms]
        if len(fitting) != 1:
            raise InvalidCredential("token: no kid, and not exactly one key fits")
        return fitting[0]


def open_ring(
    *,
    algorithms: Sequence[str] = (),
    secret: Secret | None = None,
    secret_file: str | None = None,
    key_file: str | None = None,
    jwks_file: str | None = None,
    where: str = "auth.jwt",
) -> KeyRing | None:
    """The ring of one issuer from its configuration; None when no key is configured at all.

    Without `algorithms` each key is used with the first of its type (HS256, RS256, ES256), and an Ed25519 key with
    both names of its own (EdDSA, Ed25519). Raises `ConfigError`.
    """
    for algorithm in algorithms:
        if algorithm not in KNOWN:
            raise ConfigError(f"{where}.algorithms", f"{algorithm!r} is not accepted", ", ".join(sorted(KNOWN)))
    given = [source for source in (secret, secret_file, key_file, jwks_file) if source]
    if not given:
        return None
    if len(given) > 1:
        raise ConfigError(where, "has several key sources", "one of secret, secret_file, key_file, jwks_file")
    if jwks_file:
        keys = read_set(read_public(jwks_file), jwks_file)
    elif key_file:
        keys = [read_pem(key_file).verification]
    else:
        keys = [_from_secret(secret or read_secret(secret_file or ""), secret_file or f"{where}.secret")]
    for key in keys:
        _check_hmac(key, frozenset(algorithms), jwks_file or where)
    usable = [_narrowed(key, frozenset(algorithms)) for key in keys]
    if not any(key.algorithms for key in usable):
        raise ConfigError(f"{where}.algorithms", "none of the keys can be used with any of the algorithms")
    return KeyRing([key for key in usable if key.algorithms])


def published_ring(body: bytes, algorithms: Collection[str], where: str) -> KeyRing:
    """The ring of an issuer from the key set it publishes, for `algorithms` alone. Raises `ValueError`.

    There are no shared secrets in it: what is published is none (TOK-01).
    """
    allowed = frozenset(algorithms) - _HMAC
    keys = [
        VerificationKey(key.kid, key.key, usable)
        for key in read_published(body, where)
        if (usable := key.algorithms & allowed)
    ]
    if not keys:
        raise ValueError(f"has no key for {', '.join(sorted(allowed))}")
    return KeyRing(keys)


def _from_secret(secret: Secret, where: str) -> VerificationKey:
    if why := why_weak(secret.reveal()):
        raise ConfigError(where, why, "`openssl rand -base64 48` makes a good one")
    return VerificationKey(None, secret.reveal().encode(), frozenset(BY_KIND["oct"]))


def _narrowed(key: VerificationKey, allowed: frozenset[str]) -> VerificationKey:
    kind = kind_of(key.key)
    first = next(name for name in BY_KIND[kind] if name in key.algorithms)
    usual = BY_KIND[kind] if kind == "Ed25519" else (first,)
    return VerificationKey(key.kid, key.key, key.algorithms & (allowed or frozenset(usual)))


def _check_hmac(key: VerificationKey, allowed: frozenset[str], where: str) -> None:
    if not isinstance(key.key, bytes):
        return
    needed = max((_MIN_HMAC_BYTES[name] for name in key.algorithms & (allowed or {"HS256"})), default=32)
    if len(key.key) < needed:
        raise ConfigError(where, f"has a shared secret of {len(key.key)} bytes, at least {needed} are needed")


def _name_of(key: VerificationKey) -> str:
    material = key.key if isinstance(key.key, bytes) else key.key.public_bytes(_DER, _PUBLIC)
    return hashlib.sha256(material).hexdigest()[:32]
