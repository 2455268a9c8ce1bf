"""Endpoints that an operator lets take no new calls: known to all processes of the node within a second, to all nodes
that share a store or a database, and after a restart.

They stand in the database, where that is shared by nodes or nodes share nothing; of nodes that have a store in common
and a file each they stand in the store, so that what one was told is known to the others.
"""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every
from mantlet.node.storage.durable import Durable
from mantlet.stores.sql.drains import KEPT_S, DrainRows, Name
from mantlet.upstreams.endpoints import Endpoints

SYNC_S: Final = 1.0
_VERSION: Final[StateKey] = ("drains", "version")


class Orders(Protocol):
    """Where they stand. Both methods raise `StoreUnavailable`."""

    async def of(self, names: Iterable[Name], /) -> Mapping[Name, float] | None:
        """Those of `names` that are drained and until when (Unix time); None where nothing has changed since."""
        ...

    async def order(self, name: Name, until_s: float | None, by: str, /) -> bool:
        """Drain until then, or with None no longer; whether it was drained."""
        ...


class StateOrders:
    """In the store, which outlives nodes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen: tuple[bytes | None, set[Name]] | None = None

    async def of(self, names: Iterable[Name], /) -> Mapping[Name, float] | None:
        """See the port."""
        asked = set(names)
        seen = await self._state.get(_VERSION), asked
        if seen == self._seen:
            return None
        found = {name: await self._state.get(("drains", *name)) for name in asked}
        self._seen = seen
        return {name: float(until) for name, until in found.items() if until is not None}

    async def order(self, name: Name, until_s: float | None, by: str, /) -> bool:
        """See the port."""
        key = ("drains", *name)
        was = await self._state.get(key) is not None
        if until_s is None:
            await self._state.drop(key)
        else:
            await self._state.put(key, b"%.3f" % until_s, KEPT_S)
        await self._state.put(_VERSION, secrets.token_bytes(8), KEPT_S)
        return was


class RowOrders:
    """In the database."""

    def __init__(self, rows: DrainRows) -> None:
        self._rows = rows

    async def of(self, names: Iterable[Name], /) -> Mapping[Name, float] | None:
        """See the port."""
        return {name: until_s for name in names if (until_s := self._rows.table.get(name)) is not None}

    async def order(self, name: Name, until_s: float | None, by: str, /) -> bool:
        """See the port."""
        return await self._rows.order(name, until_s, by)


class Drains:
    """In one process: what was ordered anywhere is done to this process's endpoints."""

    def __init__(self, orders: Orders, servers: Iterable[Any], clock: Clock = SYSTEM) -> None:
        self._orders = orders
        self._servers = [server for server in servers if isinstance(server, Endpoints)]
        self._wall = clock.wall
        self._done: dict[Name, float] = {}

    @property
    def has_any(self) -> bool:
        """Whether there is anything to drain here."""
        return bool(self._servers)

    def usable(self) -> dict[str, str]:
        """Of each server how many of its endpoints can be used."""
        return {server.name: f"{len(server.usable)} of {len(server.endpoints)}" for server in self._servers}

    async def order(self, server: str, endpoint: str, for_s: float | None, by: str) -> bool:
        """Drain for so long, or with None no longer; whether it was drained. Raises `StoreUnavailable`."""
        until_s = None if for_s is None else self._wall() + for_s
        was = await self._orders.order((server, endpoint), until_s, by)
        await self.sync()
        return was

    async def sync(self) -> None:
        """Do what was ordered anywhere. Raises `StoreUnavailable`."""
        found = await self._orders.of([(server.name, one.name) for server in self._servers for one in server.endpoints])
        if found is None:
            return
        for server in self._servers:
            for one in server.endpoints:
                self._do(server, one.name, found.get((server.name, one.name)))

    def _do(self, server: Endpoints, endpoint: str, until_s: float | None) -> None:
        name = (server.name, endpoint)
        if until_s == self._done.get(name):
            return
        if until_s is None:
            del self._done[name]
            server.undrain(endpoint)
        else:
            self._done[name] = until_s
            server.drain(endpoint, max(0.0, until_s - self._wall()))


async def open_drains(config: Config, durable: Durable, state: State, tasks: Tasks, servers: Iterable[Any]) -> Drains:
    """Followed from now on, with what was ordered before the start in force already. Raises `StoreUnavailable` where
    the database gives no answer."""
    if durable.database.is_shared or config.store.is_own:
        rows = DrainRows(durable.database, SYSTEM.wall)
        await rows.load()
        drains = Drains(RowOrders(rows), servers)

        async def take(number: int) -> None:
            await rows.load()
            await drains.sync()

        durable.changes.follow("drains", take)
    else:
        drains = Drains(StateOrders(state), servers)
    if drains.has_any:
        with suppress(StoreUnavailable):  # a store that is not there yet; it is asked again every second
            await drains.sync()
        tasks.start(every(SYNC_S, drains.sync), "drains.sync")
    return drains
