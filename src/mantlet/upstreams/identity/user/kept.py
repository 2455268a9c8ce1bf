"""A grant as it lies in the database: sealed, and bound to the row it lies in (FWD-04).

The row's identity is authenticated with the ciphertext: a row that is copied to another principal, upstream or issuer
does not open there. The key is in a file of its own, outside the database.
"""

from typing import Final, NamedTuple, Protocol

import msgspec

from mantlet.core.ports import Sealer

_DOMAIN: Final = b"mantlet/grant/v1\x00"


class GrantKey(NamedTuple):
    """Whose grant it is, and where."""

    upstream: str
    tenant: str
    issuer: str
    subject: str


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Times are Unix seconds; `ends_s` 0: the server named no end."""

    access_token: str
    refresh_token: str
    ends_s: float
    scope: str
    created_s: float
    client_id: str

    def __repr__(self) -> str:
        return "Kept(***)"


class Row(NamedTuple):
    """What lies in the database. `version` counts the writes; `server` is the issuer that gave the grant."""

    sealed: str
    key_id: str
    version: int
    server: str
    scope: str
    created_s: float
    written_s: float


class Rows(Protocol):
    """Where grants lie. Durable; each raises `StoreUnavailable`."""

    async def find(self, key: GrantKey, /) -> Row | None:
        """One of them."""
        ...

    async def put(self, key: GrantKey, row: Row, replaced: int | None, /) -> bool:
        """Keep it in the place of the one with the version `replaced` (None: of any, or none), or not at all."""
        ...

    async def drop(self, key: GrantKey, version: int | None = None, /) -> bool:
        """Forget it (None: whatever its version); whether there was one."""
        ...


def seal(kept: Kept, key: GrantKey, server: str, sealer: Sealer) -> str:
    """The text for the row of `key`."""
    return sealer.seal(msgspec.msgpack.encode(kept), context_of(key, server))


def unseal(sealed: str, key: GrantKey, server: str, sealer: Sealer) -> Kept | None:
    """What was sealed for this very row, or None for anything else."""
    plain = sealer.open(sealed, context_of(key, server))
    return None if plain is None else msgspec.msgpack.decode(plain, type=Kept)


def context_of(key: GrantKey, server: str) -> bytes:
    """The row's identity in one spelling: each part with its length, so that none can pass into the next."""
    return _DOMAIN + b"".join(b"%d:%b" % (len(raw), raw) for raw in (part.encode() for part in (*key, server)))
