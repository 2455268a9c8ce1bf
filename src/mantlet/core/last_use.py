"""Whether a session rests for too long (MCP-04), known to all processes that serve it and written down seldom.

A session that is used has a mark in `State` that lives a little longer than it may rest; without one it is idle. The
process that sees it used sets the mark anew at most every `step_s`, and as often for those that something is under way
in. So an idle session ends between `idle_s` and `idle_s + step_s` after its last use, never earlier. A mark that the
store loses ends a session that is older than `idle_s`: its client begins another.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks

MAX_STEP_S: Final = 60.0
MAX_KNOWN: Final = 20_000
"""Marks that one process remembers having set; for others the store is asked."""


class LastUse:
    """`key` gives the place of a session's mark. `busy` names the sessions that something is under way in, here."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        idle_s: float,
        *,
        key: Callable[[str], StateKey],
        busy: Callable[[], Iterable[str]],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._clock = clock
        self._key = key
        self._busy = busy
        self._tasks = tasks
        self.idle_s = idle_s
        self.step_s = min(MAX_STEP_S, idle_s / 4)
        self._marked: OrderedDict[str, float] = OrderedDict()
        self._next: asyncio.TimerHandle | None = None

    def is_fresh(self, session: str) -> bool:
        """Whether it was marked here so lately that `use` would do nothing: what a busy session costs."""
        marked_s = self._marked.get(session)
        return marked_s is not None and self._clock.monotonic() - marked_s < self.step_s

    async def use(self, session: str, begun_s: float) -> bool:
        """A session that began at `begun_s` (Unix time) is used: False when it has rested for too long.

        Raises `StoreUnavailable`.
        """
        now_s = self._clock.monotonic()
        marked_s = self._marked.get(session)
        is_used = marked_s is not None and now_s - marked_s < self.idle_s
        if not is_used and self._clock.wall() - begun_s >= self.idle_s:
            is_used = await self._state.get(self._key(session)) is not None
            if not is_used:
                self._marked.pop(session, None)
                return False
        if marked_s is None or now_s - marked_s >= self.step_s:
            await self._mark(session)
        return True

    async def end(self, session: str) -> None:
        """It has ended, and whoever says so remembers that. Raises `StoreUnavailable`."""
        self._marked.pop(session, None)
        await self._state.drop(self._key(session))

    def close(self) -> None:
        """Mark no more."""
        if self._next is not None:
            self._next.cancel()

    async def _mark(self, session: str) -> None:
        # The time before the store was asked: the mark there must not be over before this process thinks so.
        now_s = self._clock.monotonic()
        await self._state.put(self._key(session), b"1", self.idle_s + self.step_s)
        self._marked[session] = now_s
        self._marked.move_to_end(session)
        if len(self._marked) > MAX_KNOWN:
            self._marked.popitem(last=False)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(self.step_s, self._look)

    def _look(self) -> None:
        # Once a step while something is under way; with nothing, not before the next mark.
        self._next = None
        if busy := set(self._busy()):
            self._tasks.start(self._mark_all([session for session in busy if not self.is_fresh(session)]), "last use")
            self._next = asyncio.get_running_loop().call_later(self.step_s, self._look)

    async def _mark_all(self, sessions: Iterable[str]) -> None:
        for session in sessions:
            try:
                await self._mark(session)
            except StoreUnavailable:
                return  # the next round tries again; a mark outlives several
