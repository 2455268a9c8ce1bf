"""Signing and sealing of forwarded identities, and opening them again (spec 4.7; FWD-02).

Sealed for an agent in one of two ways. With a public key of the agent: signed by the node, then encrypted to that key
(a JWS in a JWE, `ECDH-ES` with `A256GCM`); signed first, because anybody can encrypt to a public key. With a shared
key: Fernet, under a key derived for that one agent, so that no agent can open or make what is another's.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential, InvalidJson
from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_weak
from mantlet.keys.files import read_public, read_secret
from mantlet.keys.signing import KeyPair
from mantlet.wire.forwarded import EXCHANGED, SEALED
from mantlet.wire.jsonrpc import Bounds, decode
from mantlet.wire.jws import Jws, parse

MAX_TOKEN_BYTES: Final = 16_384
ALGORITHM: Final = "ECDH-ES"
ENCRYPTION: Final = "A256GCM"
CURVES: Final = ("P-256", "P-384", "P-521", "X25519")

_DOMAIN: Final = b"mantlet/forwarded/v1\x00"
_BOUNDS: Final = Bounds(max_depth=32, max_keys=1000)
_REGISTRY: Final = jwe.JWERegistry(algorithms=[ALGORITHM, ENCRYPTION])
_HEADER: Final = {"alg": ALGORITHM, "enc": ENCRYPTION, "typ": "JWE", "cty": "JWT"}

Recipient = ECKey | OKPKey
_KINDS: Final[Mapping[str, type[ECKey] | type[OKPKey]]] = {"EC": ECKey, "OKP": OKPKey}
Seal = Callable[[Mapping[str, Any]], str]


def signer(key: KeyPair, kind: str = EXCHANGED) -> Seal:
    """What signs claims as a token of the type `kind`. Raises `ValueError` for a key without its private half."""
    if key.private is None:
        raise ValueError("the key file holds a public key, and only a private one signs")
    header = {"typ": kind} | ({"kid": key.kid} if key.kid else {})

    def sign(claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), key.private, key.algorithm, header)

    return sign


# --- a public key of the agent ---------------------------------------------------------------------------------------


def sealer_to(recipient: Recipient, key: KeyPair) -> Seal:
    """What seals claims to the agent that holds the private half of `recipient`, signed with `key`."""
    sign = signer(key, SEALED)
    header = _HEADER | {"kid": recipient.thumbprint()}

    def seal(claims: Mapping[str, Any]) -> str:
        return jwe.encrypt_compact(header, sign(claims), recipient, registry=_REGISTRY)

    return seal


class PrivateKeyOpener:
    """With the agent's private keys, the newest first: while a key is replaced, both open."""

    def __init__(self, keys: Sequence[Recipient]) -> None:
        if not keys or not all(key.is_private for key in keys):
            raise ValueError("only a private key opens")
        self._keys = {key.thumbprint(): key for key in keys}

    def open(self, token: bytes, /) -> Jws:
        """What is inside: **not** verified, for anybody can encrypt to a public key. Raises `InvalidCredential`."""
        if len(token) > MAX_TOKEN_BYTES or token.count(b".") != 4:
            raise InvalidCredential("sealed: no compact JWE")
        try:
            header = decode(_part(token.partition(b".")[0]), _BOUNDS)
        except (InvalidJson, ValueError) as error:
            raise InvalidCredential("sealed: header") from error
        if type(header) is not dict or any(header.get(name) != value for name, value in _HEADER.items()):
            raise InvalidCredential("sealed: header")
        if set(header) - {*_HEADER, "kid", "epk"} or (key := self._keys.get(str(header.get("kid")))) is None:
            raise InvalidCredential("sealed: for another key")
        try:
            inner = jwe.decrypt_compact(token, key, registry=_REGISTRY).plaintext or b""
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise InvalidCredential("sealed: does not open") from error
        jws = parse(inner)
        if jws.type != SEALED:
            raise InvalidCredential("sealed: holds something else")
        return jws


def read_recipient(path: str | Path, *, private: bool = False) -> Recipient:
    """A key agreement key out of a file, PEM or JWK. Raises `ConfigError`."""
    text = read_secret(path).reveal() if private else read_public(path)
    where = str(path)
    try:
        if text.lstrip().startswith("{"):
            jwk = json.loads(text)
            kind = _KINDS[jwk["kty"]]  # chosen here: importing a shared secret would only warn
            key: Any = kind.import_key(jwk)
        else:
            key = _of_pem(text)
    except (JoseError, ValueError, TypeError, KeyError):
        # `from None`: the cause may quote the file.
        raise ConfigError(where, "is no key that can be read", "PEM or JWK") from None
    if not isinstance(key, ECKey | OKPKey) or key.curve_name not in CURVES:
        raise ConfigError(where, "is no key that is agreed by (ECDH-ES)", ", ".join(CURVES))
    if private and not key.is_private:
        raise ConfigError(where, "holds a public key, and only a private one opens")
    return key if private else _public_half(key)


def _of_pem(text: str) -> Recipient:
    raw: Any
    if "PRIVATE KEY-----" in text:
        raw = serialization.load_pem_private_key(text.encode(), password=None)
    else:
        raw = serialization.load_pem_public_key(text.encode())
    is_curve = isinstance(raw, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey)
    return (ECKey if is_curve else OKPKey).import_key(text)


def _public_half(key: Recipient) -> Recipient:
    return type(key).import_key(key.as_dict(private=False))


# --- a key that the node and one agent share --------------------------------------------------------------------------


def derive(master: Secret, agent: str) -> Secret:
    """The key of `agent` alone, as text for its configuration; the master stays at the node.

    HKDF-SHA256 (RFC 5869) with the agent's name. Raises `ConfigError` for a weak master.
    """
    if why := why_weak(master.reveal()):
        raise ConfigError("inter_agent.communication_key", why, "`openssl rand -base64 48` makes a good one")
    if not agent:
        raise ConfigError("forward_identity", "no agent is named")
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=_DOMAIN + agent.encode()).derive(master.reveal().encode())
    return Secret(base64.urlsafe_b64encode(derived).decode())


def sealer_with(key: Secret) -> Seal:
    """What seals claims under a derived key."""
    fernet = Fernet(key.reveal())

    def seal(claims: Mapping[str, Any]) -> str:
        return fernet.encrypt(json.dumps(claims, separators=(",", ":")).encode()).decode()

    return seal


class SharedKeyOpener:
    """With derived keys, the newest first: while a key is replaced, both open."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.reveal()) for key in keys])
        except ValueError:
            raise ConfigError("key", "is no derived key", "32 bytes as base64url; `derive` makes them") from None

    def open(self, token: bytes, /) -> Mapping[str, Any]:
        """The claims, which only the node and this agent can have made. Raises `InvalidCredential`."""
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidCredential("sealed: too long")
        try:
            claims = decode(self._fernet.decrypt(token), _BOUNDS)
        except (InvalidToken, InvalidJson) as error:
            raise InvalidCredential("sealed: does not open") from error
        if type(claims) is not dict:
            raise InvalidCredential("sealed: holds something else")
        return claims


def is_sealed(credential: bytes) -> bool:
    """Whether a credential means to be a sealed token, however broken."""
    return credential.startswith(b"gAAAA") or credential.count(b".") == 4


def _part(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
