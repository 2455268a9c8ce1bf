"""Secrets in files: owner-only, checked at each reading, written whole or not at all (CFG-04)."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret

MAX_BYTES: Final = 262_144
"""Larger than any key or key set; a path to a log or a device is refused before it fills memory."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def read_secret(path: str | Path) -> Secret:
    """The text of an owner-only file without its line end; raises `ConfigError`."""
    return Secret(_text(Path(path), _read(Path(path), forbidden=_OTHERS)).rstrip("\r\n"))


def read_public(path: str | Path) -> str:
    """The text of a file that all may read and nobody else may write; raises `ConfigError`."""
    return _text(Path(path), _read(Path(path), forbidden=_OTHERS_WRITE))


def write_secret(path: str | Path, text: str, *, replace: bool = False) -> None:
    """Write `text` as an owner-only file that readers see whole or not at all, also after a crash.

    Raises `FileExistsError` unless `replace`; of several writers without `replace` exactly one wins.
    """
    path = Path(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)  # unlike a rename, fails when the name is taken
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    _sync(path.parent)


def previous_of(path: str | Path) -> Path:
    """Where a rotation leaves what stood in `path`."""
    path = Path(path)
    return path.with_name(f"{path.name}.previous")


def rotate_secret(path: str | Path, text: str) -> None:
    """Put `text` in place of what stands there, and keep that beside it. Readers find either whole at any time."""
    write_secret(previous_of(path), read_secret(path).reveal() + "\n", replace=True)
    write_secret(path, text, replace=True)


def ensure_secret(path: str | Path, make: Callable[[], str]) -> Secret:
    """The secret in `path`, made on first use; all processes that start together end with the same one."""
    if not Path(path).exists():
        with contextlib.suppress(FileExistsError):  # another process was first: its secret is the one
            write_secret(path, make() + "\n")
    return read_secret(path)


def _read(path: Path, *, forbidden: int) -> bytes:
    try:
        # Checked by handle, not by name: what is read is what was checked. O_NONBLOCK: a pipe must not stop the start.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(str(path), "is not a regular file")
        if info.st_uid not in (os.geteuid(), 0):
            raise ConfigError(str(path), "belongs to another user", "chown it to the user that runs the node")
        if info.st_mode & forbidden:
            mode = stat.S_IMODE(info.st_mode)
            raise ConfigError(str(path), f"others may use it (mode {mode:04o})", f"chmod 600 {path}")
        if info.st_size > MAX_BYTES:
            raise ConfigError(str(path), f"is larger than {MAX_BYTES} bytes")
        return os.read(handle, MAX_BYTES)  # a regular file gives all there is at once
    finally:
        os.close(handle)


def _text(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # `from None`: the error would carry the bytes, and they are a secret.
        raise ConfigError(str(path), "is not text") from None
    if not text.strip():
        raise ConfigError(str(path), "is empty")
    return text


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
