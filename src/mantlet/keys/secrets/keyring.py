"""The system's keyring (the extra `mantlet[keyring]`): Secret Service, Keychain, Credential Locker."""

import secrets
from typing import Any

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret


def read(service: str, name: str) -> Secret | None:
    """What is kept under a name; None when nothing is. Raises `ConfigError`."""
    keyring, errors = _library()
    try:
        found = keyring.get_password(service, name)
    except (errors.KeyringError, RuntimeError) as error:
        raise ConfigError(f"keyring:{service}/{name}", f"cannot be read: {type(error).__name__}") from error
    return Secret(found) if isinstance(found, str) and found else None


def write(service: str, name: str, secret: Secret) -> None:
    """Keep it there. Raises `ConfigError`."""
    keyring, errors = _library()
    try:
        keyring.set_password(service, name, secret.reveal())
    except (errors.KeyringError, RuntimeError) as error:
        raise ConfigError(f"keyring:{service}/{name}", f"cannot be written: {type(error).__name__}") from error


def ensure(service: str, name: str) -> Secret:
    """What is kept there; 256 random bits when nothing was. Raises `ConfigError`."""
    found = read(service, name)
    if found is None:
        write(service, name, Secret(secrets.token_urlsafe(32)))
        found = read(service, name)
    if found is None:
        raise ConfigError(f"keyring:{service}/{name}", "keeps nothing", "is the keyring unlocked?")
    return found


def _library() -> tuple[Any, Any]:
    try:
        import keyring
        from keyring import errors
    except ModuleNotFoundError:
        raise ConfigError("keyring", "is not installed", "pip install 'mantlet[keyring]'") from None
    return keyring, errors
