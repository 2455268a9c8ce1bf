"""What an API key is: `mk_<id>_<secret>`, of which the node keeps only a keyed hash (AUTHN-05).

The id finds the record and may be shown; the secret has 256 bits and is shown once. The hash covers the key whole and
is keyed with a pepper outside the database: who reads the database can neither log in with a hash nor test guesses.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from mantlet.core.caller import CallerKind

PREFIX: Final = "mk_"
ID_LENGTH: Final = 12
"""Base62: 71 bits, enough never to collide and too many to enumerate."""
SECRET_LENGTH: Final = 43
"""Base62: 256 bits."""
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Base62 leaves `_` to separate, so a key is read in one way only, and a double click selects it whole."""

_DOMAIN: Final = b"mantlet/api-key/v1\x00"
_SHAPE: Final = re.compile(rb"mk_([0-9A-Za-z]{%d})_[0-9A-Za-z]{%d}" % (ID_LENGTH, SECRET_LENGTH))


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """What is kept of one API key. Times are Unix seconds; `owner` is the principal's subject."""

    id: str
    hash: str = field(repr=False)
    owner: str
    name: str = ""
    tenant: str = "default"
    kind: CallerKind = "service"
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    created_at_s: float = 0.0
    expires_at_s: float | None = None
    last_used_at_s: float | None = None
    revoked_at_s: float | None = None
    doors: tuple[str, ...] = ()
    """Where alone it is taken; empty: everywhere. For keys of the config."""
    verifier: str = field(default="", repr=False)
    """What tells a proof of the key (`core.key_proof`); empty for keys older than that."""

    def is_live(self, now_s: float) -> bool:
        """Whether the key still opens anything."""
        return self.revoked_at_s is None and (self.expires_at_s is None or now_s < self.expires_at_s)


class ApiKeyStore(Protocol):
    """Where records are found. May answer from memory, at most three seconds old."""

    async def find(self, key_id: str, /) -> ApiKeyRecord | None:
        """The record of `key_id`, live or not. Raises `StoreUnavailable`."""
        ...

    def is_known(self, key_id: str, /) -> bool:
        """Whether `known` can tell; if not, it can within a second. Raises `StoreUnavailable`."""
        ...

    def known(self, key_id: str, /) -> ApiKeyRecord | None:
        """What `find` gives, without waiting: of a key that `is_known`. Raises `StoreUnavailable`."""
        ...

    def touch(self, key_id: str, at_s: float, /) -> None:
        """Note a use; written down later."""
        ...


def id_of(key: bytes) -> str | None:
    """The id inside a well-formed key, or None."""
    match = _SHAPE.fullmatch(key)
    return None if match is None else match[1].decode()


def hash_of(key: bytes, pepper: bytes) -> str:
    """What is stored of `key`: HMAC-SHA-256 in hex."""
    return hmac.digest(pepper, _DOMAIN + key, hashlib.sha256).hex()


def is_same(stored: str, presented: str) -> bool:
    """Compare two hashes without telling where they differ."""
    return hmac.compare_digest(stored, presented)
