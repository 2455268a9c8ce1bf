"""`State` in Valkey or Redis (7.0 or newer, for SET with NX and GET)."""

from typing import Final

from mantlet.core.ports import StateKey
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.keys import escaped

PREFIX: Final = "mantlet:state"


class ValkeyState:
    """One command a step, so each is atomic. Raises `StoreUnavailable`."""

    def __init__(self, client: ValkeyClient) -> None:
        self._client = client

    async def get(self, key: StateKey, /) -> bytes | None:
        """See the port."""
        value: bytes | None = await self._client.call("GET", name_of(key))
        return value

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        """See the port."""
        await self._client.call("SET", name_of(key), value, "PX", _milliseconds(ttl_s))

    async def claim(self, key: StateKey, value: bytes, ttl_s: float, /) -> bytes:
        """See the port."""
        standing: bytes | None = await self._client.call(
            "SET", name_of(key), value, "NX", "GET", "PX", _milliseconds(ttl_s)
        )
        return value if standing is None else standing

    async def drop(self, key: StateKey, /) -> None:
        """See the port."""
        await self._client.call("UNLINK", name_of(key))


def name_of(key: StateKey) -> str:
    """The name of one value; no part can pose as two."""
    return ":".join([PREFIX, *map(escaped, key)])


def _milliseconds(ttl_s: float) -> int:
    return max(1, int(ttl_s * 1000))
