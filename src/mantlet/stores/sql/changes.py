"""How a process learns what others wrote: every concept counts its writes, and one look a second reads the counts.

A writer counts first, in the transaction of what it writes: so two writers of one concept come one after the other, and
whoever sees a count sees everything up to it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.database import Database, Transaction
from mantlet.stores.sql.patience import Patience

LOOK_S: Final = 1.0
STALE_S: Final = 3.0
"""Since the last look that succeeded, once one has failed: what is in memory is then not answered from any more. With
the second that callers are remembered (`policies.authenticate.api_keys.FRESH_S`) below 5 s (TOK-10, AUTHN-06)."""

CatchUp = Callable[[int], Awaitable[None]]
"""Takes the count of a concept that has moved on, and reads what is new."""


async def counted(transaction: Transaction, name: str, by: int = 1) -> int:
    """Count writes of a concept, before they are done; gives the number of the last."""
    await transaction.run("UPDATE changes SET number = number + ?2 WHERE name = ?1", name, by)
    return int((await transaction.rows("SELECT number FROM changes WHERE name = ?1", name))[0][0])


class Changes:
    """One for a process. Raises `StoreUnavailable` from `look` alone."""

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database, self._monotonic = database, monotonic
        self._numbers: dict[str, int] = {}
        self._followers: dict[str, CatchUp] = {}
        self._heard_s = monotonic()
        self._is_failing = False

    def follow(self, name: str, catch_up: CatchUp) -> None:
        """Have `catch_up` called by a look that finds a new count; the first look finds one."""
        self._followers[name] = catch_up

    @property
    def is_fresh(self) -> bool:
        """Whether what is in memory may be answered from. A loop that stood still, and a look that is late for it, is
        no reason not to: only a database that does not answer is."""
        return not self._is_failing or self._monotonic() - self._heard_s < STALE_S

    @property
    def is_failing(self) -> bool:
        """Whether the last look had no answer."""
        return self._is_failing

    @property
    def stale_s(self) -> float:
        """Since the last look that succeeded; about a second when all is well."""
        return self._monotonic() - self._heard_s

    async def look(self) -> None:
        """Read the counts, and what is new. Every `LOOK_S`."""
        began_s = self._monotonic()
        try:
            async with Patience(STALE_S - LOOK_S, self._monotonic) as patience:
                await self._caught_up(patience)
        except (StoreUnavailable, TimeoutError) as error:
            self._is_failing = True
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(why="database: what is new cannot be read in time") from error
            raise
        self._heard_s, self._is_failing = began_s, False

    async def _caught_up(self, patience: Patience) -> None:
        for is_last in (False, False, True):
            try:
                await self._catch_up()
            except StoreUnavailable as refusal:
                # A limit of the database's own struck; on a machine that stood still that says nothing of the database.
                if is_last or not (isinstance(refusal.__cause__, TimeoutError) and patience.was_kept):
                    raise
            else:
                return
            await asyncio.sleep(0)

    async def _catch_up(self) -> None:
        found: dict[str, int] = dict(await self._database.rows("SELECT name, number FROM changes"))
        for name, catch_up in self._followers.items():
            number = found.get(name, 0)
            if number != self._numbers.get(name):
                await catch_up(number)
                self._numbers[name] = number
