"""Checking an audit trail with the keys that a configuration names, or with keys given by hand."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mantlet.core.config_error import ConfigError
from mantlet.events.audit.keys import checkpoint_directory, key_paths, public_key_path
from mantlet.events.audit.verify import Report, verify
from mantlet.events.config import AuditConfig


def verify_trail(
    config: AuditConfig | None,
    *,
    path: Path | None = None,
    chain_key: Path | None = None,
    checkpoints: Path | None = None,
    public_key: Path | None = None,
    expect: Path | None = None,
    is_archive: bool = False,
) -> Report:
    """Check a trail. What is not given is where `config` keeps it, or beside a trail given by hand.

    Raises `ConfigError` for a key that cannot be read. Who gives a public key wants checkpoints judged: without any,
    a trail that was cut short would count as whole, so it counts as not checked. Keys are only read, never
    made: a verifier that made the missing key would call every trail forged.
    """
    own = config or AuditConfig()
    if config is not None:
        chain_key = chain_key or key_paths(own)[0]
        checkpoints = checkpoints or checkpoint_directory(own)
        if public_key is None and public_key_path(own).exists():
            public_key = public_key_path(own)
    if chain_key is None:
        raise ConfigError("--chain-key", "is needed to check a trail outside its configuration")
    path = path or Path(own.path)
    if checkpoints is None:
        checkpoints = checkpoint_directory(AuditConfig(path=str(path.absolute())))
    report = verify(
        path,
        _read(chain_key),
        checkpoints=checkpoints,
        public_key=_public(public_key) if public_key else None,
        expect=_read(expect) if expect else None,
        is_archive=is_archive,
    )
    if public_key and not (expect or report.checkpoints or report.findings or report.could_not):
        report.could_not = f"no checkpoints in {checkpoints}; say where they are with --checkpoints"
    return report


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise ConfigError(str(path), "is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(str(path), "is not an Ed25519 public key")
    return key
