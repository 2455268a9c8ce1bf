"""The switches in force: in this process at once, in the others within `SYNC_S`, and after a restart too.

What the processes of all nodes have in common is a `Truth`: in `State`, or in a database that nodes share. Where it is
`State`, each node keeps a copy in its own database, and gives it back where the shared table is gone (the store was
emptied, or this process is alone and has just started): what somebody stopped stays stopped until somebody says
otherwise.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidParams
from mantlet.policies.kill.table import MAX_KILLS, Kill, Stopped, Switch, Table, stopped
from mantlet.policies.kill.truth import Truth, Version, changed

SYNC_S: Final = 1.0


class Copy(Protocol):
    """This node's own copy. Both raise `StoreUnavailable`."""

    async def read(self) -> dict[Switch, Kill]:
        """All of it."""
        ...

    async def replace(self, table: Table, /) -> None:
        """Keep `table` and nothing else."""
        ...


class Switches:
    """Everything runs on one loop. `changed` is called when what is stopped has changed."""

    def __init__(self, truth: Truth, copy: Copy | None, clock: Clock) -> None:
        """Nothing is stopped before `open`. Without a `copy` the truth is durable by itself."""
        self._truth, self._copy, self._wall = truth, copy, clock.wall
        self._table: dict[Switch, Kill] = {}
        self._changes: dict[Switch, Kill | None] = {}
        self._version: Version = None
        self._turn = asyncio.Lock()
        self.changed: Callable[[], object] = lambda: None
        self._set({})

    async def open(self) -> None:
        """Take up what was stopped before. Raises `StoreUnavailable`."""
        if self._copy is not None:
            self._set(await self._copy.read())
        else:
            await self.sync()

    def in_force(self) -> Mapping[Switch, Kill]:
        """All that are."""
        return dict(self._table)

    async def kill(self, switch: Switch, reason: str, by: str) -> Kill:
        """Stop it: here now, elsewhere soon. Raises `StoreUnavailable` when others could not be told yet."""
        if switch not in self._table and len(self._table) >= MAX_KILLS:
            raise InvalidParams(f"There are {MAX_KILLS} switches already.")
        kill = Kill(reason, by, self._wall())
        await self._change(switch, kill)
        return kill

    async def unkill(self, switch: Switch) -> bool:
        """Let it go on; whether it was stopped. Raises `StoreUnavailable`, and then it is still stopped somewhere."""
        was = switch in self._table
        await self._change(switch, None)
        return was

    async def sync(self) -> None:
        """Give what changed here, take what changed elsewhere. Raises `StoreUnavailable`."""
        async with self._turn:
            version = await self._truth.version()
            if version is None and self._table:
                self._changes = {**self._table, **self._changes}
            if self._changes:
                given = dict(self._changes)
                version, table = await self._truth.change(given)
                self._changes = {s: k for s, k in self._changes.items() if s not in given or given[s] is not k}
                await self._take(table, version)
            elif version != self._version:
                await self._take(await self._truth.table(), version)

    async def _change(self, switch: Switch, kill: Kill | None) -> None:
        self._changes[switch] = kill
        self._set(changed(self._table, {switch: kill}))
        if self._copy is not None:
            await self._copy.replace(self._table)  # before anybody is told that it is done
        await self.sync()

    async def _take(self, table: Table, version: Version) -> None:
        merged = changed(table, self._changes)
        if merged != self._table:
            self._set(merged)
            if self._copy is not None:
                await self._copy.replace(merged)
        self._version = version

    def _set(self, table: dict[Switch, Kill]) -> None:
        self._table = table
        self.stopped: Stopped = stopped(table)
        self.any = bool(table)
        self.changed()
