"""Keys of our own: made, kept in owner-only PEM files, named by their thumbprint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_weak
from mantlet.keys.algorithms import BY_KIND, kind_of, why_unfit
from mantlet.keys.files import read_public, read_secret, write_secret
from mantlet.keys.jwk import VerificationKey, public_jwk

RSA_BITS: Final = 3072
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key read from a file: `private` is None when the file holds the public half alone."""

    kid: str | None
    algorithm: str
    """What the key signs with; the first of its type."""
    public: Any = field(repr=False)
    """Of a shared secret, the secret: hence not shown either."""
    private: Any = field(default=None, repr=False)

    @property
    def verification(self) -> VerificationKey:
        """The half that checks, for any algorithm of its type."""
        return VerificationKey(self.kid, self.public, frozenset(BY_KIND[kind_of(self.public)]))

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as it is published; an HMAC key has none."""
        if self.algorithm.startswith("HS"):
            raise ValueError("a shared secret cannot be published")
        return public_jwk(self.public, self.algorithm)


def make_signing_key(path: str | Path, *, replace: bool = False) -> KeyPair:
    """Make an Ed25519 key in an owner-only PEM file; raises `FileExistsError` unless `replace`."""
    write_secret(path, new_pem("Ed25519"), replace=replace)
    return read_pem(path)


def new_pem(kind: str) -> str:
    """A new private key in PEM, of a kind that `kind_of` names. Raises `ValueError` for one that is not made here."""
    key: Any
    if kind == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    elif kind == "RSA":
        key = rsa.generate_private_key(65_537, RSA_BITS)
    elif kind in _CURVES:
        key = ec.generate_private_key(_CURVES[kind])
    else:
        raise ValueError(f"no {kind} keys are made here")
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def pem_kind(path: str | Path) -> str:
    """Of which kind the key in a PEM file is. Raises `ConfigError`."""
    return kind_of(read_pem(path).public)


def read_pem(path: str | Path) -> KeyPair:
    """The key of a PEM file. A private key must be owner-only; a public one must only be unwritable by others."""
    text = read_public(path)
    if "PRIVATE KEY-----" in text:
        text = read_secret(path).reveal()
    try:
        if "PRIVATE KEY-----" in text:
            private: Any = serialization.load_pem_private_key(text.encode(), password=None)
            return _pair(private.public_key(), private, str(path))
        return _pair(serialization.load_pem_public_key(text.encode()), None, str(path))
    except (ValueError, TypeError, UnsupportedAlgorithm, AttributeError):
        # `from None`: the cause may quote the file.
        raise ConfigError(
            str(path), "is no PEM key that can be read", "unencrypted PKCS#8 or SubjectPublicKeyInfo"
        ) from None


def signing_key(secret: Secret | None, key_file: str | None, algorithms: Sequence[str] = ()) -> KeyPair | None:
    """The key that `auth.jwt` signs with, under the first of `algorithms` that fits it; None when it names none."""
    if secret:
        key = shared_secret(secret, "auth.jwt.secret")
    elif key_file:
        key = read_pem(key_file)
    else:
        return None
    fitting = [name for name in algorithms if name in BY_KIND[kind_of(key.public)]]
    return replace(key, algorithm=fitting[0]) if fitting else key


def shared_secret(secret: Secret, where: str) -> KeyPair:
    """A signing key of a shared secret (HS256); raises `ConfigError` for a weak one."""
    if why := why_weak(secret.reveal()):
        raise ConfigError(where, why)
    # No kid: a thumbprint of a shared secret would help to guess it (RFC 7638 section 7).
    return KeyPair(None, "HS256", secret.reveal().encode(), secret.reveal().encode())


def _pair(public: Any, private: Any, where: str) -> KeyPair:
    if why := why_unfit(public):
        raise ConfigError(where, f"the key {why}")
    algorithm = BY_KIND[kind_of(public)][0]
    return KeyPair(public_jwk(public, algorithm)["kid"], algorithm, public, private)
