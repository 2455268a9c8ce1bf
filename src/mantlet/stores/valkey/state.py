"""`State` in Valkey or Redis."""

from typing import Final

from mantlet.core.ports import StateKey
from mantlet.stores.valkey.client import Client
from mantlet.stores.valkey.keys import escaped

PREFIX: Final = "mantlet:state"
# SET with NX and GET together is only known to Redis 7.0 and newer.
_CLAIM: Final = """
local standing = redis.call('GET', KEYS[1])
if standing then return standing end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""


class ValkeyState:
    """One command a step, so each is atomic. A cluster spreads the keys. Raises `StoreUnavailable`."""

    def __init__(self, client: Client) -> None:
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
        name = name_of(key)
        standing: bytes | None = await self._client.call("EVAL", _CLAIM, 1, name, value, _milliseconds(ttl_s), key=name)
        return value if standing is None else standing

    async def drop(self, key: StateKey, /) -> None:
        """See the port."""
        await self._client.call("UNLINK", name_of(key))


def name_of(key: StateKey) -> str:
    """The name of one value; no part can pose as two."""
    return ":".join([PREFIX, *map(escaped, key)])


def _milliseconds(ttl_s: float) -> int:
    return max(1, int(ttl_s * 1000))
