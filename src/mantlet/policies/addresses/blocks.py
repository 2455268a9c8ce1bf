"""The blocks in force: decided here at once, shared with the other processes of the node every `SYNC_S`."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.policies.addresses.table import Block, Table, changed, decode, encode, next_block

SYNC_S: Final = 1.0
_TABLE: Final[StateKey] = ("blocked", "table")
_VERSION: Final[StateKey] = ("blocked", "version")
_LOCK: Final[StateKey] = ("blocked", "lock")
_LOCK_S: Final = 5.0
_TRIES: Final = 100
_PAUSE_S: Final = 0.02


class Blocks:
    """Everything runs on one loop. What the store does not take now is kept and given to it with the next `sync`."""

    def __init__(
        self, state: State, clock: Clock, *, block_s: float, max_s: float, forgotten: Callable[[str], None]
    ) -> None:
        self._state, self._wall = state, clock.wall
        self._block_s, self._max_s = block_s, max_s
        self._forgotten = forgotten
        self._table: Table = {}
        self._changes: dict[str, Block | None] = {}
        self._version: bytes | None = None
        self._turn = asyncio.Lock()

    def of(self, source: str) -> Block | None:
        """The block that is in force."""
        block = self._table.get(source)
        return block if block is not None and block.until_s > self._wall() else None

    @property
    def has_any(self) -> bool:
        """Whether there is any, in force or remembered."""
        return bool(self._table)

    def in_force(self) -> Table:
        """All that are."""
        now_s = self._wall()
        return {source: block for source, block in self._table.items() if block.until_s > now_s}

    def add(self, source: str, reason: str, for_s: float | None = None) -> Block:
        """Block `source`: for `for_s`, or as long as its history says."""
        now_s = self._wall()
        before = self._table.get(source)
        if for_s is None:
            block = next_block(before, now_s=now_s, block_s=self._block_s, max_s=self._max_s, reason=reason)
        else:
            block = Block(now_s + for_s, now_s, before.times if before else 0, reason)
        self._change(source, block)
        return block

    def remove(self, source: str) -> bool:
        """Forget `source` and its history; whether a block was in force."""
        was = self.of(source) is not None
        self._change(source, None)
        self._forgotten(source)
        return was

    async def sync(self) -> None:
        """Give what changed here, take what changed elsewhere. Raises `StoreUnavailable`."""
        async with self._turn:
            version = await self._state.get(_VERSION)
            if version is None and self._version is not None:
                # The store lost everything: a restart of it is nobody's pardon.
                self._changes = {**self.in_force(), **self._changes}
            if self._changes:
                await self._write()
            elif version != self._version:
                self._take(decode(await self._state.get(_TABLE)), version)

    def _change(self, source: str, block: Block | None) -> None:
        self._changes[source] = block
        self._table = changed(self._table, {source: block}, now_s=self._wall(), memory_s=self._max_s)

    async def _write(self) -> None:
        mark = secrets.token_hex(8).encode()
        await self._lock(mark)
        try:
            given = dict(self._changes)
            table = changed(decode(await self._state.get(_TABLE)), given, now_s=self._wall(), memory_s=self._max_s)
            last_s = max((block.until_s for block in table.values()), default=0.0)
            ttl_s = max(0.0, last_s - self._wall()) + self._max_s
            await self._state.put(_TABLE, encode(table), ttl_s)
            await self._state.put(_VERSION, mark, ttl_s)
        finally:
            await self._state.drop(_LOCK)
        self._changes = {s: b for s, b in self._changes.items() if s not in given or given[s] is not b}
        self._take(table, mark)

    async def _lock(self, mark: bytes) -> None:
        for _ in range(_TRIES):
            if await self._state.claim(_LOCK, mark, _LOCK_S) == mark:
                return
            await asyncio.sleep(_PAUSE_S)
        raise StoreUnavailable(why="the table of blocks is held by another process")

    def _take(self, table: Table, version: bytes | None) -> None:
        for source in self._table.keys() - table.keys():
            self._forgotten(source)
        self._table = changed(table, self._changes, now_s=self._wall(), memory_s=self._max_s)
        self._version = version
