"""The `database:` section."""

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.secret import Secret
from mantlet.stores.sql import address
from mantlet.stores.sql.address import Address

SQLITE: Final = "sqlite:///"


class DatabaseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What outlives the process: API keys, revocations, logins, pins, kill switches, names of tools.

    `sqlite:///PATH` is a file of this node's own; `postgresql://USER@HOST/NAME` is shared by nodes.
    """

    url: str = "sqlite:///./var/mantlet.db"
    """PostgreSQL: `?sslmode=verify-full|verify-ca|require|disable` (default: verify-full, and on this machine
    disable); several hosts with commas between: the one that takes writes is used."""
    password: Secret | None = None
    """Of a PostgreSQL whose URL holds none."""
    ca_file: str | None = None
    """Who may vouch for PostgreSQL; null: the system's own list."""
    cert_file: str | None = None
    """The node's own certificate for PostgreSQL, if it asks for one."""
    key_file: str | None = None
    folder: str | None = None
    """Where this node's own keys are (`keys/` in it). Null: beside the file of SQLite, else ./var."""
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    """To PostgreSQL, of each process of the node."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=2)] = 2.0
    """Seconds within which PostgreSQL answers, or is taken not to: with more, a revocation could act too late."""
    auto_migrate: bool = True
    """Bring the tables to this version's shape at start. Off: a start refuses, and `mantlet database migrate` does."""

    def __post_init__(self) -> None:
        if self.url.startswith(SQLITE):
            for name in ("password", "ca_file", "cert_file", "key_file"):
                if getattr(self, name) is not None:
                    raise ValueError(f"database.{name} is of PostgreSQL; a file of SQLite has none")
            return
        scheme = urlsplit(self.url.partition(":")[0] + ":").scheme
        if scheme not in address.SCHEMES:
            # The scheme only: the rest may hold a password.
            raise ValueError(
                f"database.url: {scheme}:// is not offered; use sqlite:///PATH or postgresql://USER@HOST/DB"
            )
        try:
            found = address.parse(self.url)
        except ValueError as error:
            raise ValueError(f"database.url {error}") from None
        if found.password is not None and self.password is not None:
            raise ValueError("database.password: the URL holds one too; give one of them")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("database.cert_file and database.key_file go together")
        if found.sslmode == "disable" and (self.ca_file or self.cert_file):
            raise ValueError("database.url says sslmode=disable, and there are certificates; take one of them out")

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.startswith(SQLITE)

    @property
    def path(self) -> Path:
        """The file of SQLite."""
        return Path(self.url.removeprefix(SQLITE))

    @property
    def postgres(self) -> Address:
        """The address of PostgreSQL."""
        return address.parse(self.url)

    @property
    def where(self) -> str:
        """For people; without what is secret."""
        return str(self.path) if self.is_sqlite else str(self.postgres)

    @property
    def home(self) -> Path:
        """The folder of what is this node's own."""
        if self.folder is not None:
            return Path(self.folder)
        return self.path.parent if self.is_sqlite else Path("var")

    @property
    def pepper_path(self) -> Path:
        """The key of API key hashes: never in what is copied when the database is."""
        return self.home / "keys" / "api-keys.pepper"
