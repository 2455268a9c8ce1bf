"""Making API keys. What one is, and how it is hashed, stands in `core/api_key.py`."""

import secrets
from pathlib import Path

from mantlet.core.api_key import ALPHABET, ID_LENGTH, PREFIX, SECRET_LENGTH
from mantlet.core.secret import Secret
from mantlet.keys.files import ensure_secret


def make_api_key() -> tuple[str, Secret]:
    """A new id and the whole key, which is shown once and then known to its owner alone."""
    key_id = _base62(ID_LENGTH)
    return key_id, Secret(f"{PREFIX}{key_id}_{_base62(SECRET_LENGTH)}")


def read_pepper(path: str | Path) -> bytes:
    """The node's pepper for API key hashes, made on first use. Losing the file makes all stored keys worthless."""
    return ensure_secret(path, lambda: secrets.token_urlsafe(32)).reveal().encode()


def _base62(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
