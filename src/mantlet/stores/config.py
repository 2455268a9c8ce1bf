"""The `store:` section."""

import msgspec


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where shared state lives.

    `memory://` keeps it in the process; `embedded://` starts a Valkey of the node's own, shared by its workers;
    `valkey://[[user]:password@]host:port/db`, `valkeys://` (TLS) and `unix:///path?db=0` name an outside one.
    """

    url: str = "memory://"
