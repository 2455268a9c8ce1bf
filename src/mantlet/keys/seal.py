"""Sealing small things that leave the node and come back: cursors, request state, session ids.

AES-256-GCM with a random nonce is safe for some 2^32 messages a key (SP 800-38D section 8.3). A busy node would reach
that in days, so each sealer uses a key of its own, derived from the node's by a random salt that travels along, and
takes a new salt long before that. Text: base64url of version, salt, nonce, ciphertext and tag; `context` is
authenticated, not carried.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.keys.files import ensure_secret, previous_of

VERSION: Final = 1
SALT_BYTES: Final = 12
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
MAX_SEALS_PER_SALT: Final = 2**28
MAX_SALTS_KEPT: Final = 256
"""Derived keys remembered: one a process that seals, and room for restarts; a foreign salt costs one HMAC."""
MAX_CHARACTERS: Final = 1_048_576

_HEAD: Final = 1 + SALT_BYTES
_DOMAIN: Final = b"mantlet/seal/v1\x00"
_NAME: Final = b"mantlet/seal/key-id/v1"
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+")


class NodeSealer:
    """`core.ports.Sealer`. The first key seals, all open: a key is rotated by putting a new one before it.

    For one thread or many; make it after forking, or two processes would share a salt (the nonces stay random).
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
        self._roots = tuple(keys)
        self._derived: OrderedDict[tuple[int, bytes], AESGCM] = OrderedDict()
        self._renew()

    @property
    def key_id(self) -> str:
        """Names the key that seals, without telling anything of it."""
        return hmac.digest(self._roots[0], _NAME, hashlib.sha256)[:8].hex()

    def seal(self, plain: bytes, context: bytes, /) -> str:
        """URL-safe text that opens only with this node's key and the same `context`."""
        if self._left <= 0:
            self._renew()
        self._left -= 1
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._head + nonce + self._own.encrypt(nonce, plain, self._head + context)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        """The plain bytes, or None for anything forged, foreign or of another context."""
        raw = _bytes_of(sealed)
        if raw is None or len(raw) < _HEAD + NONCE_BYTES + TAG_BYTES or raw[0] != VERSION:
            return None
        head, nonce, rest = raw[:_HEAD], raw[_HEAD : _HEAD + NONCE_BYTES], raw[_HEAD + NONCE_BYTES :]
        for index in range(len(self._roots)):
            try:
                return self._cipher(index, head[1:]).decrypt(nonce, rest, head + context)
            except InvalidTag:
                continue
        return None

    def _renew(self) -> None:
        salt = os.urandom(SALT_BYTES)
        self._head = bytes((VERSION,)) + salt
        self._own = _derive(self._roots[0], salt)
        self._left = MAX_SEALS_PER_SALT

    def _cipher(self, index: int, salt: bytes) -> AESGCM:
        if index == 0 and salt == self._head[1:]:
            return self._own
        cipher = self._derived.get((index, salt))
        if cipher is None:
            cipher = self._derived[index, salt] = _derive(self._roots[index], salt)
            if len(self._derived) > MAX_SALTS_KEPT:
                self._derived.popitem(last=False)
        return cipher


def open_sealer(path: str | Path, *former: str | Path) -> NodeSealer:
    """A sealer with the key in `path` (made on first use); `former` files still open what they sealed.

    So does the one that a rotation left beside it.
    """
    rotated = [file for file in (previous_of(path),) if file.exists()]
    return NodeSealer([_read_key(file) for file in (path, *rotated, *former)])


def sealer_of_text(secret: Secret, where: str) -> NodeSealer:
    """A sealer with a key that is kept as text somewhere else. Raises `ConfigError`."""
    return NodeSealer([_key_of(secret, where)])


def _read_key(path: str | Path) -> bytes:
    return _key_of(ensure_secret(path, lambda: secrets.token_urlsafe(KEY_BYTES)), str(path))


def _key_of(secret: Secret, where: str) -> bytes:
    key = _bytes_of(secret.reveal())
    if key is None or len(key) != KEY_BYTES:
        raise ConfigError(where, f"is no sealing key ({KEY_BYTES} bytes as base64url)", "remove it to have one made")
    return key


def _derive(root: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(root, _DOMAIN + salt, hashlib.sha256))


def _bytes_of(text: str) -> bytes | None:
    if len(text) > MAX_CHARACTERS or _TEXT.fullmatch(text) is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    # One text for one value, or the same sealed thing could pass twice as two.
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=") == text.encode() else None
