"""The `store:` section."""

from typing import Annotated, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from mantlet.core.secret import Secret


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where shared state lives.

    `memory://` keeps it in the process; `embedded://` starts a Valkey of the node's own, shared by its workers;
    `valkey://[[user]:password@]host:port/db`, `valkeys://` (TLS) and `unix:///path?db=0` name an outside one.
    """

    url: str = "memory://"
    password: Secret | None = None
    """Of an outside store whose URL holds none."""
    max_memory_bytes: Annotated[int, msgspec.Meta(ge=1_048_576)] = 67_108_864
    """What `embedded://` may take; an outside store has its own settings."""
    max_memory_policy: Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"] = (
        "noeviction"
    )
    """What a full `embedded://` does. Anything but `noeviction` may forget a window, and hand its quota out again."""

    @property
    def full_url(self) -> str:
        """`url` with the password, or with the settings of an embedded one, in it; not for showing."""
        parts = urlsplit(self.url)
        if parts.scheme in ("memory", "embedded"):  # with workers, `memory://` is embedded too
            return f"{parts.scheme}://?maxmemory={self.max_memory_bytes}&maxmemory-policy={self.max_memory_policy}"
        if self.password is None or parts.password:
            return self.url
        password = quote(self.password.reveal(), safe="")
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{password}@{place}"))
