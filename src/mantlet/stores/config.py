"""The `store:` section."""

from typing import Annotated, Literal

import msgspec

from mantlet.core.secret import Secret
from mantlet.stores.valkey.access import Access, StoreTls


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where shared state lives.

    `memory://` keeps it in the process; `embedded://` starts a Valkey of the node's own, shared by its workers;
    `valkey://[[user]:password@]host:port/db`, `valkeys://` (TLS) and `unix:///path?db=0` name an outside one;
    `valkey+sentinel://host1,host2,host3/master` and `valkey+cluster://host1,host2,host3` (with TLS `valkeys+...`) find
    it.
    """

    url: str = "memory://"
    user: str = ""
    """ACL user of an outside store whose URL names none."""
    password: Secret | None = None
    """Of an outside store whose URL holds none."""
    rotating_password_file: str | None = None
    """A file with the password, read at every log-in: it can be exchanged while the node runs."""
    sentinel_user: str = ""
    sentinel_password: Secret | None = None
    """Of the Sentinels, which have users and passwords of their own."""
    tls: StoreTls = StoreTls()
    slow_after: Annotated[float, msgspec.Meta(ge=0.001, le=0.03)] = 0.008
    """Seconds. When all answers take longer, limits go on without the store until they are quicker."""
    max_memory_bytes: Annotated[int, msgspec.Meta(ge=1_048_576)] = 67_108_864
    """What `embedded://` may take; an outside store has its own settings."""
    max_memory_policy: Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"] = (
        "noeviction"
    )
    """What a full `embedded://` does. Anything but `noeviction` may forget a window, and hand its quota out again."""

    def __post_init__(self) -> None:
        if self.password is not None and self.rotating_password_file is not None:
            raise ValueError("password and rotating_password_file are two places for one password; give one of them")

    @property
    def is_own(self) -> bool:
        """Whether nobody but this node has it."""
        return self.url.startswith(("memory:", "embedded:"))

    @property
    def full_url(self) -> str:
        """`url`, with the settings of an embedded one in it."""
        if not self.is_own:
            return self.url
        scheme = self.url.partition(":")[0]  # with workers, `memory://` is embedded too
        return f"{scheme}://?maxmemory={self.max_memory_bytes}&maxmemory-policy={self.max_memory_policy}"

    @property
    def access(self) -> Access:
        """How to log in; a store of our own has no password."""
        if self.is_own:
            return Access()
        return Access(
            user=self.user,
            password=self.password,
            password_file=self.rotating_password_file,
            sentinel_user=self.sentinel_user,
            sentinel_password=self.sentinel_password,
            tls=self.tls,
        )
