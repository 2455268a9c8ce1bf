"""How a store lets us in: user, password, certificates. Read anew for every connection, so that each may be rotated."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret

MAX_PASSWORD_BYTES: Final = 65_536


class StoreTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """TLS to the store, with `valkeys://`. Chain and name are always verified (TLS-04)."""

    ca_file: str | None = None
    """PEM of the only CAs to trust; absent means the system's."""
    cert_file: str | None = None
    """Our certificate, where the store asks for one."""
    key_file: str | None = None
    server_name: str | None = None
    """The name that all servers' certificates hold, where servers are found by their IP addresses: a cluster's, and
    those that Sentinel names."""

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together")


@dataclass(frozen=True, slots=True)
class Access:
    """What a log-in needs beside the URL; what stands in the URL goes first."""

    user: str = ""
    password: Secret | None = None
    password_file: str | None = None
    """Read at every log-in."""
    sentinel_user: str = ""
    sentinel_password: Secret | None = field(default=None)
    tls: StoreTls = StoreTls()

    def current_password(self) -> str:
        """The password as it is now; raises `StoreUnavailable` when its file cannot be read."""
        if self.password_file is None:
            return self.password.reveal() if self.password is not None else ""
        try:
            with Path(self.password_file).open("rb") as file:
                text = file.read(MAX_PASSWORD_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(why=f"store password file: {type(error).__name__}") from error
        return text.strip("\r\n")

    def check_files(self) -> None:
        """Raise `ValueError` or `OSError` for TLS files that cannot be used."""
        self._context()

    def context(self) -> ssl.SSLContext:
        """For the next connection. Raises `StoreUnavailable` for files that cannot be used (just now)."""
        try:
            return self._context()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise StoreUnavailable(why=f"store TLS files: {type(error).__name__}: {error}") from error

    def _context(self) -> ssl.SSLContext:
        files = self.tls.ca_file, self.tls.cert_file, self.tls.key_file
        return _context(*((name, _stamp(name)) for name in files))


Stamped = tuple[str | None, tuple[int, int]]


def _stamp(name: str | None) -> tuple[int, int]:
    if name is None:
        return (0, 0)
    found = Path(name).stat()
    return found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=8)  # making one costs 40 ms where it reads the system's CA bundle
def _context(ca: Stamped, certificate: Stamped, key: Stamped) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca[0])
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate[0] is not None:
        made.load_cert_chain(certificate[0], key[0])
    return made
