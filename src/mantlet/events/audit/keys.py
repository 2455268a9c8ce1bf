"""The two keys of the trail, made on first start.

The chain key is secret and shared by all workers of a node: who has it can write records. The signing key signs
checkpoints; its public half, kept elsewhere, is all that a later reader needs to trust.
"""

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mantlet.events.config import AuditConfig


@dataclass(frozen=True, slots=True, repr=False)
class AuditKeys:
    """What a writer needs. Has no readable form (AUD-06)."""

    chain: bytes
    signing: Ed25519PrivateKey


def load_or_create(config: AuditConfig) -> AuditKeys:
    """Both keys of `config`, created where there are none.

    Raises `PermissionError` for a key file that others may read, `ValueError` for one that holds no such key.
    """
    chain_path, signing_path = key_paths(config)
    chain = _load_or_create(chain_path, lambda: secrets.token_bytes(32))
    if len(chain) < 32:
        raise ValueError(f"{chain_path}: an audit chain key has at least 32 bytes, this file has {len(chain)}")
    signing = serialization.load_pem_private_key(_load_or_create(signing_path, _new_signing_key), password=None)
    if not isinstance(signing, Ed25519PrivateKey):
        raise ValueError(f"{signing_path}: the audit signing key must be an Ed25519 private key in PEM")
    public = signing.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _load_or_create(public_key_path(config), lambda: public, is_secret=False)
    return AuditKeys(chain, signing)


def key_paths(config: AuditConfig) -> tuple[Path, Path]:
    """Where the chain key and the signing key stand."""
    beside = Path(config.path).parent / "keys"
    return (
        Path(config.chain_key_file) if config.chain_key_file else beside / "audit-chain.key",
        Path(config.signing_key_file) if config.signing_key_file else beside / "audit-signing.key",
    )


def public_key_path(config: AuditConfig) -> Path:
    """Where the public half of the signing key is left for whoever verifies."""
    return key_paths(config)[1].with_suffix(".pub")


def checkpoint_directory(config: AuditConfig) -> Path:
    """Where checkpoints go: never into the directory whose loss they are to show."""
    return Path(config.checkpoint_path or f"{config.path.rstrip('/')}-checkpoints")


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_or_create(path: Path, create: Callable[[], bytes], *, is_secret: bool = True) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if is_secret else 0o644)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(create())
                file.flush()
                os.fsync(file.fileno())
            # A link fails where a rename would replace: of several workers that start at once, one key wins.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    if is_secret and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path} holds a key and others may read it; run: chmod 600 {path}")
    return path.read_bytes()
