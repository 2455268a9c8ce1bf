"""Secrets of a node: made, rotated, and looked at (spec 12)."""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_weak
from mantlet.keys.files import previous_of, read_secret, rotate_secret, write_secret
from mantlet.keys.signing import new_pem, pem_kind
from mantlet.node.config.load import Loaded
from mantlet.node.config.secret_files import exposure
from mantlet.ops import keyring

DAY_S: Final = 86_400
SEALING_CHARACTERS: Final = 43
Kind = Literal["secret", "key"]
_FOREIGN: Final = ("secrets.vault.",)
"""What others made and judge: a vault's token is as long as the vault likes."""
_OWN: Final = ("api-keys.pepper", "node.key")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend. `where` is a key or a file; no secret stands in it."""

    where: str
    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Aged:
    """One secret in a file or database, and how old it is."""

    where: str
    days: int


def generated(kind: Kind = "secret") -> str:
    """A new secret as text: 384 random bits, or an Ed25519 key in PEM."""
    return new_pem("Ed25519") if kind == "key" else secrets.token_urlsafe(48)


def write(path: Path, kind: Kind) -> None:
    """A new secret into a new owner-only file. Raises `ConfigError`; what is there is never overwritten."""
    try:
        write_secret(path, generated(kind).rstrip("\n") + "\n")
    except FileExistsError as error:
        raise ConfigError(str(path), "is there already", "`mantlet secrets rotate` replaces it with overlap") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be written: {error.strerror}") from error


def rotate(path: Path) -> Path:
    """Put a new secret of the same kind in place of the one in a file; gives where the old one is kept.

    Raises `ConfigError`.
    """
    old = read_secret(path).reveal()
    if old.startswith("mk_"):
        raise ConfigError(str(path), "holds an API key", "`mantlet keys rotate ID` makes the next one")
    if path.name == "api-keys.pepper":
        raise ConfigError(str(path), "cannot be rotated: every API key's hash depends on it", "rotate the keys")
    # A sealing key of ours is 32 bytes exactly.
    length = 32 if len(old) == SEALING_CHARACTERS else 48
    new = new_pem(pem_kind(path)) if "-----BEGIN" in old else secrets.token_urlsafe(length) + "\n"
    try:
        rotate_secret(path, new)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be written: {error.strerror}") from error
    return previous_of(path)


def findings(loaded: Loaded, now_s: float | None = None) -> tuple[list[Finding], list[Aged]]:
    """What is weak, known to the world, used twice, open to others or too old, and all ages."""
    now_s = time.time() if now_s is None else now_s
    config = loaded.config
    found = [Finding(problem.key, problem.message, "chmod 600") for problem in loaded.exposed]
    found += _values(loaded)
    aged = [*_files(loaded, found, now_s), *_keys(loaded, found, now_s)]
    limit = config.secrets.max_age // DAY_S
    for one in aged:
        if one.days > limit:
            found.append(Finding(one.where, f"is {one.days} days old; {limit} are the limit", "rotate it"))
    return found, aged


def _values(loaded: Loaded) -> Iterator[Finding]:
    holders: dict[Secret, str] = {}
    for where, secret in _secrets_of(loaded.config, ""):
        if where.startswith(_FOREIGN) or not secret:
            continue
        if why := why_weak(secret.reveal()):
            yield Finding(where, why, "`mantlet secrets generate` makes a good one")
        if (other := holders.setdefault(secret, where)) != where:
            yield Finding(where, f"is the same as {other}", "give each its own")


def _secrets_of(value: Any, path: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets_of(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _secrets_of(each, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _secrets_of(each, f"{path}[{index}]")


def _files(loaded: Loaded, found: list[Finding], now_s: float) -> Iterator[Aged]:
    own = loaded.config.database.home / "keys"
    for file in dict.fromkeys([*map(Path, loaded.named), *(own / name for name in _OWN)]):
        try:
            if not file.is_file() or _is_public(file):
                continue
            if (why := exposure(file)) and not any(str(file) in one.problem for one in found):
                found.append(Finding(str(file), why, "chmod 600"))
            yield Aged(str(file), int((now_s - file.stat().st_mtime) // DAY_S))
        except OSError as error:
            found.append(Finding(str(file), f"cannot be read: {error.strerror}", "see its owner and mode"))


def _is_public(file: Path) -> bool:
    """Certificates, public keys and lists are no secrets; private keys and anything without a PEM's head are."""
    head = file.read_bytes()[:65_536]
    return (b"-----BEGIN" in head and b"PRIVATE KEY" not in head) or head.lstrip()[:1] in (b"{", b"[", b"#")


def _keys(loaded: Loaded, found: list[Finding], now_s: float) -> Iterator[Aged]:
    if loaded.config.database.is_sqlite and not loaded.config.database.path.exists():
        return
    try:
        records = keyring.listed(loaded.config)
    except (ConfigError, StoreUnavailable) as error:
        found.append(Finding("database.url", str(error), "see `mantlet keys list`"))
        return
    for record in records:
        if record.is_live(now_s):
            yield Aged(f"API key {record.id} ({record.name})", int((now_s - record.created_at_s) // DAY_S))
