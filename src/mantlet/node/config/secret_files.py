"""Secrets out of files: owner-only, checked (CFG-04)."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_SECRET_BYTES: Final = 64 * 1024
"""Far above any key; a path set to a log file or a device by mistake ends here."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """What was read: the text without the newline that editors and `echo` add, and why the file is not safe, if so."""

    text: str
    exposure: str = ""

    def __repr__(self) -> str:
        return f"SecretFile(exposure={self.exposure!r})"


def read_secret(path: Path) -> SecretFile:
    """The content of a secret file. Raises `OSError` when it cannot be read, `ValueError` when it holds no text."""
    # Opened first and looked at through the descriptor: a file swapped between check and reading would pass otherwise.
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("is not a regular file")
        raw = file.read(MAX_SECRET_BYTES + 1)
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError(f"is larger than {MAX_SECRET_BYTES} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError("is not text") from error
    if not text.strip():
        raise ValueError("is empty")
    return SecretFile(text, exposure_of(state))


def exposure(path: Path) -> str:
    """Why a secret file that others read (a TLS key) is not safe; empty when it is. Raises `OSError`."""
    return exposure_of(path.stat())


def exposure_of(state: os.stat_result) -> str:
    """Who besides the owner may read or change a file with this state; empty when nobody may."""
    if state.st_uid not in (0, os.geteuid()):
        return f"belongs to user {state.st_uid}, neither to this process nor to root"
    others = stat.S_IMODE(state.st_mode) & 0o077
    if not others:
        return ""
    who = "others" if others & 0o007 else "its group"
    return f"is open to {who} (mode {stat.S_IMODE(state.st_mode):04o}); `chmod 600` makes it the owner's alone"
