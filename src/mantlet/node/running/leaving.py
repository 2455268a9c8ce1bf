"""Going with notice: balancers hear it first (`/readyz` says down), calls are taken until they have, then it ends.

The end is that of SIGTERM: nobody new, what is in flight is answered, exit 0. Until then it can be taken back.
"""

import asyncio
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.node.housekeeping import log

MAX_NOTICE_S: Final = 3_600.0


class Leaving:
    """Of the process that has the admin door."""

    def __init__(self, stop: asyncio.Event, journal: Journal, tasks: Tasks) -> None:
        self._stop, self._journal, self._tasks = stop, journal, tasks
        self._waiting: asyncio.Task[Any] | None = None

    @property
    def is_announced(self) -> bool:
        """Whether the node says that it is down."""
        return self._waiting is not None

    async def begin(self, by: str, notice_s: float) -> None:
        """Say so now, and end after `notice_s`. Asked again, the last one counts. Raises `AuditUnavailable`."""
        if not 0 <= notice_s <= MAX_NOTICE_S:
            raise InvalidParams(f"A notice is of 0 to {MAX_NOTICE_S:g} seconds.")
        await note(self._journal, SYSTEM, "node.leaving", principal=by, notes={"after": f"{notice_s:g}"})
        log.warning("node.leaving", by=by, after_s=notice_s)
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self._tasks.start(self._end(notice_s), "leaving")

    async def stay(self, by: str) -> bool:
        """Take it back; whether there was anything to. Raises `AuditUnavailable`."""
        if self._waiting is None or self._stop.is_set():
            return False
        await note(self._journal, SYSTEM, "node.stays", principal=by)
        self._waiting.cancel()
        self._waiting = None
        return True

    async def _end(self, notice_s: float) -> None:
        await asyncio.sleep(notice_s)
        self._stop.set()
