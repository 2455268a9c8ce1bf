"""Certificates that are no longer accepted, by serial number or by public key, from the config and from a file."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mantlet.core.certificate import PeerCertificate

Tell = Callable[[str, str, Mapping[str, Any]], None]
MAX_BYTES: Final = 4 * 1024 * 1024
"""Some fifty thousand entries."""
_SERIAL: Final = re.compile(r"serial:([0-9A-Fa-f:]{1,80})")
_SPKI: Final = re.compile(r"spki:([0-9A-Fa-f]{64})")
_PIN: Final = re.compile(r"sha256/([A-Za-z0-9+/]{43}=)")


def entry(text: str) -> str:
    """One entry in the spelling that `entries_of` uses. Raises `ValueError`.

    `serial:0A:1B` or `serial:a1b` (hexadecimal, as OpenSSL shows it), `spki:` and 64 hexadecimal digits, or
    `sha256/` and base64, as pins are written.
    """
    text = text.strip()
    if (match := _SERIAL.fullmatch(text)) is not None and (digits := match[1].replace(":", "").lstrip("0")):
        return f"serial:{digits.lower()}"
    if (match := _SPKI.fullmatch(text)) is not None:
        return f"spki:{match[1].lower()}"
    if (match := _PIN.fullmatch(text)) is not None:
        try:
            return f"spki:{base64.b64decode(match[1], validate=True).hex()}"
        except binascii.Error as error:
            raise ValueError(f"{text!r} is no base64") from error
    raise ValueError(f"{text[:100]!r} is neither serial:HEX nor spki:HEX nor sha256/BASE64")


def entries_of(serial: str, spki_sha256: str) -> tuple[str, str]:
    """Under which entries a certificate may stand."""
    return f"serial:{serial}", f"spki:{spki_sha256}"


def read(text: str) -> frozenset[str]:
    """The entries of a file: one a line, `#` begins a comment. Raises `ValueError` for the whole, with the line."""
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        if bare := line.partition("#")[0].strip():
            try:
                found.add(entry(bare))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return frozenset(found)


class Revocations:
    """The list as it now is. `look` takes up a changed file; a bad one is refused whole, and the old list stays."""

    def __init__(self, entries: Iterable[str], path: Path | None, tell: Tell) -> None:
        """Raises `ValueError` or `OSError` for what cannot be read: at start nothing stands that could stay."""
        self._fixed = frozenset(entry(text) for text in entries)
        self._path, self._tell = path, tell
        self._stamp = stamp(path)
        self._said = ""
        self._all = self._fixed | (_load(path) if path is not None else frozenset())

    def has(self, certificate: PeerCertificate) -> bool:
        """Whether `certificate` is revoked."""
        return self.has_any(certificate.serial, certificate.spki_sha256)

    def has_any(self, serial: str, spki_sha256: str) -> bool:
        """Whether either is revoked."""
        return not self._all.isdisjoint(entries_of(serial, spki_sha256))

    def look(self) -> None:
        """Read the file again if it has changed."""
        now = stamp(self._path)
        if self._path is None or now == self._stamp:
            return
        try:
            self._all = self._fixed | _load(self._path)
        except (OSError, ValueError) as error:
            if str(error) != self._said:  # once; the next look tries again, for a file half written
                self._said = str(error)
                self._tell("error", "mtls.revocations_failed", {"file": str(self._path), "said": self._said})
            return
        self._stamp, self._said = now, ""
        self._tell("info", "mtls.revocations_loaded", {"entries": len(self._all)})


def _load(path: Path) -> frozenset[str]:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    return read(raw.decode())


def stamp(path: Path | None) -> tuple[int, ...] | None:
    """What changes when the file does; None when it is not there."""
    if path is None:
        return None
    try:
        state = path.stat()
    except OSError:
        return None
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
