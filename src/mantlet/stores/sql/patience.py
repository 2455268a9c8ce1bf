"""How long an answer is waited for, in time that this process had: a slow machine is no lost database.

A clock on the wall cannot tell the two. A process that was paused, or whose loop others kept, finds its timers due
before it has taken the answer that lies there. So time is counted in turns of the loop, `TURN_S` for each, however late
it came.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

TURN_S: Final = 0.25
"""Short beside what is waited for, and long beside what a turn of a busy loop takes."""


class Patience:
    """`async with` it; raises `TimeoutError` within once this process had `limit_s`."""

    def __init__(self, limit_s: float, monotonic: Callable[[], float]) -> None:
        self._limit_s, self._monotonic = limit_s, monotonic
        self._had_s = 0.0
        self._scope = asyncio.timeout(None)
        self._turn: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._began_s = self._monotonic()
        await self._scope.__aenter__()
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._turn is not None:
            self._turn.cancel()
        await self._scope.__aexit__(kind, error, trace)

    @property
    def was_kept(self) -> bool:
        """Whether this process had less than half of the time that went by: who did not answer in time was not asked
        fairly. A turn under way counts as had."""
        return self._had_s + TURN_S < (self._monotonic() - self._began_s) / 2

    def _wait(self) -> None:
        self._turn = asyncio.get_running_loop().call_later(min(TURN_S, self._limit_s), self._had)

    def _had(self) -> None:
        self._had_s += TURN_S
        if self._had_s < self._limit_s:
            self._wait()
        else:  # with the next turn: what has arrived by now is taken first
            self._scope.reschedule(asyncio.get_running_loop().time())
