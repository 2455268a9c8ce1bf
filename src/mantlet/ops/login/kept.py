"""What a login gave, sealed on disk: AES-256-GCM under a key from an owner-only file or the system's keyring.

Bound to issuer, node and user of this machine: a file that is put in another's place does not open.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mantlet.core.config_error import ConfigError
from mantlet.keys.files import write_secret
from mantlet.keys.seal import NodeSealer, open_sealer, sealer_of_text
from mantlet.keys.secrets.keyring import ensure as ensure_in_keyring

SERVICE: Final = "mantlet"
KEY_NAME: Final = "login-key"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One login. Times are Unix seconds."""

    node: str
    issuer: str
    client_id: str
    resource: str
    token_endpoint: str
    revocation_endpoint: str
    access_token: str
    expires_at_s: float
    refresh_token: str = ""
    subject: str = ""
    scope: str = ""

    def __repr__(self) -> str:
        return f"Kept(node={self.node!r}, issuer={self.issuer!r})"


def folder(environ: "os._Environ[str] | dict[str, str]") -> Path:
    """Where logins are kept: `MANTLET_LOGINS`, or the user's configuration folder."""
    if named := environ.get("MANTLET_LOGINS"):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "mantlet" / "logins"


class Logins:
    """One login a node, in files of their own. Raises `ConfigError` for a key or file that cannot be used."""

    def __init__(self, where: Path, *, in_keyring: bool = False) -> None:
        self._where = where
        self._in_keyring = in_keyring or (where / "keyring").exists()
        self._sealer: NodeSealer | None = None

    def put(self, kept: Kept) -> None:
        """Keep it in place of what was there."""
        self._where.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealed = self._opened().seal(msgspec.json.encode(kept), _context(kept.node))
        write_secret(self._file(kept.node), sealed + "\n", replace=True)

    def find(self, node: str) -> Kept | None:
        """The login at `node`, if there is one."""
        try:
            sealed = self._file(node).read_text().strip()
        except FileNotFoundError:
            return None
        plain = self._opened().open(sealed, _context(node))
        if plain is None:
            raise ConfigError(str(self._file(node)), "does not open", "`mantlet login` makes a new one")
        kept = msgspec.json.decode(plain, type=Kept)
        return kept if kept.node == node else None

    def drop(self, node: str) -> None:
        """Forget it."""
        self._file(node).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, node: str) -> Iterator[None]:
        """One process at a time: two that refresh with one token would look like a thief, and end the login."""
        self._where.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file(node).with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _file(self, node: str) -> Path:
        return self._where / f"{hashlib.sha256(node.encode()).hexdigest()[:32]}.login"

    def _opened(self) -> NodeSealer:
        if self._sealer is None:
            if self._in_keyring:
                self._where.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self._where / "keyring").touch(mode=0o600)
                self._sealer = sealer_of_text(ensure_in_keyring(SERVICE, KEY_NAME), f"keyring:{SERVICE}/{KEY_NAME}")
            else:
                self._sealer = open_sealer(self._where / "key")
        return self._sealer


def _context(node: str) -> bytes:
    return f"mantlet/login/v1\x00{os.getuid()}\x00{node}".encode()
