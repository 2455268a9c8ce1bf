"""The switches in force: in this process at once, in the others within `SYNC_S`, and after a restart too.

What the processes of all nodes have in common stands in `State`; each node keeps a copy in its database. Where the
shared table is gone (the store was emptied, or this process is alone and has just started), the copy is given back to
it: what somebody stopped stays stopped until somebody says otherwise.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from mantlet.core.clock import Clock
from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import InvalidParams, StoreUnavailable
from mantlet.policies.kill.table import MAX_KILLS, Kill, Stopped, Switch, Table, decode, encode, stopped

SYNC_S: Final = 1.0
_TTL_S: Final = 30 * 86_400.0
_TABLE: Final[StateKey] = ("kills", "table")
_VERSION: Final[StateKey] = ("kills", "version")
_LOCK: Final[StateKey] = ("kills", "lock")
_LOCK_S: Final = 5.0
_TRIES: Final = 100
_PAUSE_S: Final = 0.02


class Copy(Protocol):
    """This node's own copy. Both raise `StoreUnavailable`."""

    def read(self) -> dict[Switch, Kill]:
        """All of it."""
        ...

    def replace(self, table: Table, /) -> None:
        """Keep `table` and nothing else."""
        ...


class Switches:
    """Everything runs on one loop. `changed` is called when what is stopped has changed."""

    def __init__(self, state: State, copy: Copy, clock: Clock) -> None:
        self._state, self._copy, self._wall = state, copy, clock.wall
        self._table: dict[Switch, Kill] = copy.read()
        self._changes: dict[Switch, Kill | None] = {}
        self._version: bytes | None = None
        self._turn = asyncio.Lock()
        self.changed: Callable[[], object] = lambda: None
        self.stopped: Stopped = stopped(self._table)
        self.any = bool(self._table)

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
            version = await self._state.get(_VERSION)
            if version is None and self._table:
                self._changes = {**self._table, **self._changes}
            if self._changes:
                await self._write()
            elif version != self._version:
                self._take(decode(await self._state.get(_TABLE)), version)

    async def _change(self, switch: Switch, kill: Kill | None) -> None:
        self._changes[switch] = kill
        self._set(_with(self._table, {switch: kill}))
        self._copy.replace(self._table)  # before anybody is told that it is done
        await self.sync()

    async def _write(self) -> None:
        mark = secrets.token_hex(8).encode()
        await self._lock(mark)
        try:
            given = dict(self._changes)
            table = _with(decode(await self._state.get(_TABLE)), given)
            await self._state.put(_TABLE, encode(table), _TTL_S)
            await self._state.put(_VERSION, mark, _TTL_S)
        finally:
            await self._state.drop(_LOCK)
        self._changes = {s: k for s, k in self._changes.items() if s not in given or given[s] is not k}
        self._take(table, mark)

    async def _lock(self, mark: bytes) -> None:
        for _ in range(_TRIES):
            if await self._state.claim(_LOCK, mark, _LOCK_S) == mark:
                return
            await asyncio.sleep(_PAUSE_S)
        raise StoreUnavailable(why="the table of switches is held by another process")

    def _take(self, table: Table, version: bytes | None) -> None:
        merged = _with(table, self._changes)
        if merged != self._table:
            self._set(merged)
            self._copy.replace(merged)
        self._version = version

    def _set(self, table: dict[Switch, Kill]) -> None:
        self._table = table
        self.stopped = stopped(table)
        self.any = bool(table)
        self.changed()


def _with(table: Table, changes: Mapping[Switch, Kill | None]) -> dict[Switch, Kill]:
    merged = {**table, **changes}
    return {switch: kill for switch, kill in merged.items() if kill is not None}
