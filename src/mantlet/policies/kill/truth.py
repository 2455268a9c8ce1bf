"""Where the switches stand that all processes and nodes have in common."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.policies.kill.table import Kill, Switch, Table, decode, encode

_TTL_S: Final = 30 * 86_400.0
_TABLE: Final[StateKey] = ("kills", "table")
_VERSION: Final[StateKey] = ("kills", "version")
_LOCK: Final[StateKey] = ("kills", "lock")
_LOCK_S: Final = 5.0
_TRIES: Final = 100
_PAUSE_S: Final = 0.02

Version = bytes | None
"""Another after every change; None where there is no table at all."""
Changes = Mapping[Switch, Kill | None]


class Truth(Protocol):
    """All raise `StoreUnavailable`."""

    async def version(self) -> Version:
        """Which table stands."""
        ...

    async def table(self) -> dict[Switch, Kill]:
        """All of it."""
        ...

    async def change(self, changes: Changes, /) -> tuple[Version, dict[Switch, Kill]]:
        """Set some and take back others, whatever else stands; gives how all then stands."""
        ...


class StateTruth:
    """In `State`, which may lose everything: whoever finds no table there gives back what it knows."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def version(self) -> Version:
        """See the port."""
        return await self._state.get(_VERSION)

    async def table(self) -> dict[Switch, Kill]:
        """See the port."""
        return decode(await self._state.get(_TABLE))

    async def change(self, changes: Changes, /) -> tuple[Version, dict[Switch, Kill]]:
        """See the port."""
        mark = secrets.token_hex(8).encode()
        await self._lock(mark)
        try:
            table = changed(decode(await self._state.get(_TABLE)), changes)
            await self._state.put(_TABLE, encode(table), _TTL_S)
            await self._state.put(_VERSION, mark, _TTL_S)
        finally:
            await self._state.drop(_LOCK)
        return mark, table

    async def _lock(self, mark: bytes) -> None:
        for _ in range(_TRIES):
            if await self._state.claim(_LOCK, mark, _LOCK_S) == mark:
                return
            await asyncio.sleep(_PAUSE_S)
        raise StoreUnavailable(why="the table of switches is held by another process")


def changed(table: Table, changes: Changes) -> dict[Switch, Kill]:
    """`table` with `changes` done."""
    merged = {**table, **changes}
    return {switch: kill for switch, kill in merged.items() if kill is not None}
