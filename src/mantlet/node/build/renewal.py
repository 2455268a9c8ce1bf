"""From one generation of the configuration to the next: opened beside the one in force, then taken, or dropped.

The old one is closed when no call can still be in it; streams that it opened go on, under the checks of the new one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from mantlet.core.tasks import Tasks
from mantlet.node.build.current import Current, Generation
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import failed

LINGER_S: Final = 10.0
"""Beyond the longest a call may take: how long an old generation stays open."""

Make = Callable[[Config, int, Tasks, AsyncExitStack], Awaitable[Generation]]


class Renewal:
    """Opens generations and closes them; one is prepared at a time."""

    def __init__(
        self, current: Current, make: Make, tasks: Tasks, taken: Callable[[Generation], object] = lambda _: None
    ) -> None:
        """`taken` is told of each generation that is put in force."""
        self._current, self._make, self._tasks, self._taken = current, make, tasks, taken
        self._count = 0
        self._in_force: AsyncExitStack | None = None
        self._prepared: tuple[Generation, AsyncExitStack] | None = None
        self._leaving: set[AsyncExitStack] = set()

    async def prepare(self, config: Config) -> None:
        """Open everything that `config` names, and change nothing. Raises what opening raises."""
        await self.abort()
        opened = AsyncExitStack()
        tasks = Tasks(failed)
        opened.push_async_callback(tasks.close)
        self._count += 1
        try:
            generation = await self._make(config, self._count, tasks, opened)
        except BaseException:
            await opened.aclose()
            raise
        self._prepared = generation, opened

    def commit(self) -> None:
        """Put what was prepared in force; nothing when nothing was."""
        if self._prepared is None:
            return
        generation, opened = self._prepared
        old, self._in_force, self._prepared = self._in_force, opened, None
        self._current.take(generation)
        self._taken(generation)
        if old is not None:
            self._leaving.add(old)
            self._tasks.start(self._leave(old, generation.config), "generation.leaves")

    async def abort(self) -> None:
        """Drop what was prepared."""
        if self._prepared is not None:
            _, opened = self._prepared
            self._prepared = None
            await opened.aclose()

    async def close(self) -> None:
        """Close every generation."""
        await self.abort()
        for opened in (*self._leaving, *([] if self._in_force is None else [self._in_force])):
            await opened.aclose()
        self._leaving.clear()
        self._in_force = None

    async def _leave(self, old: AsyncExitStack, config: Config) -> None:
        await asyncio.sleep(config.mcp.limits.request_timeout_ms / 1000 + LINGER_S)
        self._leaving.discard(old)
        await old.aclose()
