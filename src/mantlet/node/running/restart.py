"""Exchanging the workers of a running node, one after the other, without a failed call."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Journal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.node.housekeeping import failed, log

EVENT: Final = "workers.replaced"

Replace = Callable[[Callable[[int], object]], Awaitable[None]]
"""Does it, and tells how many are done (`node.processes.workers.Workers.replace`)."""


class Restart:
    """One at a time; asked again meanwhile, it goes on with the one under way."""

    def __init__(self, replace: Replace, count: int, journal: Journal, tasks: Tasks) -> None:
        self._replace, self._count, self._journal, self._tasks = replace, count, journal, tasks
        self._state, self._done, self._why, self._began_s = "none", 0, "", 0.0
        self._is_due = False

    async def begin(self, by: str) -> dict[str, Any]:
        """Begin, once that is recorded (AUD-02); gives how it stands."""
        if self._state != "under way":
            self._state, self._done, self._why, self._began_s = "under way", 0, "", SYSTEM.monotonic()
            try:
                await note(self._journal, SYSTEM, EVENT, principal=by, object=str(self._count))
            except BaseException:
                self._state = "none"
                raise
            self._tasks.start(self._work(), "restart")
        return self.told()

    async def anew(self, by: str) -> dict[str, Any]:
        """The same, and once more after one that is under way: its first workers were too early for what changed."""
        self._is_due = True
        return await self.begin(by)

    def told(self) -> dict[str, Any]:
        """How it stands: `none`, `under way`, `done` or `failed`."""
        return {"state": self._state, "replaced": self._done, "of": self._count, "why": self._why}

    def follow(self) -> None:
        """Begin on SIGUSR2."""
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGUSR2, lambda: self._tasks.start(self._signalled(), "restart.signal")
        )

    async def _signalled(self) -> None:
        await self.begin("SIGUSR2")

    async def _work(self) -> None:
        try:
            self._is_due = False
            await self._replace(self._count_done)
            while self._is_due:
                self._is_due, self._done = False, 0
                await self._replace(self._count_done)
        except ConfigError as error:
            self._state, self._why = "failed", str(error)
            log.error("workers.replaced", replaced=self._done, of=self._count, why=self._why)
        except Exception as error:  # a task root: whoever waits for the end must hear of it
            self._state, self._why = "failed", type(error).__name__
            failed(error)
        else:
            self._state = "done"
            log.info("workers.replaced", replaced=self._done, took_s=round(SYSTEM.monotonic() - self._began_s, 1))

    def _count_done(self, count: int) -> None:
        self._done = count
