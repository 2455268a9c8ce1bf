"""Endpoints that an operator lets take no new calls: known to all processes that share the store, within `SYNC_S`.

What is drained stands in `State` under the endpoint's own name and lives no longer than that: a store in memory forgets
it at a restart. What shall stay away is taken out of the configuration.
"""

import secrets
from collections.abc import Iterable
from typing import Any, Final

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import State, StateKey
from mantlet.upstreams.endpoints import Endpoints

SYNC_S: Final = 1.0
_TTL_S: Final = 30 * 86_400.0
_VERSION: Final[StateKey] = ("drains", "version")


class Drains:
    """In one process: orders go into `State`, and what stands there is done to this process's endpoints."""

    def __init__(self, state: State, servers: Iterable[Any], clock: Clock = SYSTEM) -> None:
        self._state = state
        self._servers = [server for server in servers if isinstance(server, Endpoints)]
        self._wall = clock.wall
        self._version: bytes | None = None
        self._drained: set[tuple[str, str]] = set()

    @property
    def has_any(self) -> bool:
        """Whether there is anything to drain here."""
        return bool(self._servers)

    def usable(self) -> dict[str, str]:
        """Of each server how many of its endpoints can be used."""
        return {server.name: f"{len(server.usable)} of {len(server.endpoints)}" for server in self._servers}

    async def order(self, server: str, endpoint: str, for_s: float | None) -> bool:
        """Drain for so long, or with None no longer; whether it was drained. Raises `StoreUnavailable`."""
        key = ("drains", server, endpoint)
        was = await self._state.get(key) is not None
        if for_s is None:
            await self._state.drop(key)
        else:
            await self._state.put(key, b"%.3f" % (self._wall() + for_s), _TTL_S)
        await self._state.put(_VERSION, secrets.token_bytes(8), _TTL_S)
        await self.sync()
        return was

    async def sync(self) -> None:
        """Do what was ordered anywhere. Raises `StoreUnavailable`."""
        version = await self._state.get(_VERSION)
        if version == self._version:
            return
        for server in self._servers:
            for one in server.endpoints:
                name = (server.name, one.name)
                until = await self._state.get(("drains", *name))
                if until is not None:
                    self._drained.add(name)
                    server.drain(one.name, max(0.0, float(until) - self._wall()))
                elif name in self._drained:
                    self._drained.discard(name)
                    server.undrain(one.name)
        self._version = version
