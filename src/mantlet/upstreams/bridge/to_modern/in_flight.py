"""Calls under way, so that `notifications/cancelled` finds the one it names, in this process or another.

A call that is answered at once is known to its own process only. One that lasts is written to `State`: two commands for
one call in a hundred instead of for each. A cancellation that comes before that is tried again a little later.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from mantlet.core.ports import State
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_modern.mail import Mail
from mantlet.upstreams.bridge.to_modern.session import Session, Sessions

LASTING_S: Final = 0.25
"""After this a call is written to `State`."""
AGAIN_S: Final = 0.5
"""When to look again for a call that was not found: it is then written down, or answered."""
KEPT_S: Final = 3_600.0
MAX_ID_BYTES: Final = 128
"""Calls with longer ids are cancelled in their own process only."""
MAX_SEARCHES: Final = 1_000


class Handle:
    """One call under way, carried by `task`."""

    __slots__ = ("is_cancelled", "is_written", "key", "raw_id", "task", "timer")

    def __init__(self, key: str, raw_id: bytes, task: "asyncio.Task[object]") -> None:
        self.key = key
        self.raw_id = raw_id
        self.task = task
        self.is_cancelled = False
        self.is_written = False
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """By its client's own wish."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self.task.cancel()

    def was_it(self) -> bool:
        """Whether the `CancelledError` just caught came from here, and from nobody else as well."""
        return self.is_cancelled and self.task.uncancel() == 0


class InFlight:
    """All calls of one server that this process carries. `is_alone`: there is no other process to look in."""

    def __init__(self, sessions: Sessions, state: State, mail: Mail, tasks: Tasks, *, is_alone: bool) -> None:
        self._sessions = sessions
        self._state = state
        self._mail = mail
        self._tasks = tasks
        self._is_alone = is_alone
        self._calls: dict[tuple[str, bytes], Handle] = {}
        self._searches = 0
        mail.on("cancel", self._asked)

    def __len__(self) -> int:
        return len(self._calls)

    def sessions(self) -> Iterator[str]:
        """The keys of the sessions that they belong to."""
        return (key for key, _ in self._calls)

    def add(self, session: Session, raw_id: bytes) -> Handle:
        """The current task carries a call of `session`."""
        task = asyncio.current_task()
        assert task is not None
        handle = Handle(session.key, raw_id, task)
        self._calls[session.key, raw_id] = handle
        if not self._is_alone and len(raw_id) <= MAX_ID_BYTES:
            handle.timer = asyncio.get_running_loop().call_later(LASTING_S, self._write, handle)
        return handle

    def remove(self, handle: Handle) -> None:
        """It has its answer."""
        if self._calls.get((handle.key, handle.raw_id)) is handle:
            del self._calls[handle.key, handle.raw_id]
        if handle.timer is not None:
            handle.timer.cancel()
        if handle.is_written:
            self._tasks.start(self._forget(handle), "in flight: forget")

    def end(self, session_key: str) -> None:
        """Cancel all of a session that has ended."""
        for handle in [handle for handle in self._calls.values() if handle.key == session_key]:
            handle.cancel()

    def cancel(self, session_key: str, raw_id: bytes) -> None:
        """Cancel it wherever it runs; nothing happens when it runs no more."""
        if self._cancel_here(session_key, raw_id) or self._is_alone or len(raw_id) > MAX_ID_BYTES:
            return
        if self._searches < MAX_SEARCHES:
            self._searches += 1
            self._tasks.start(self._search(session_key, raw_id), "in flight: cancel")

    def _cancel_here(self, session_key: str, raw_id: bytes) -> bool:
        handle = self._calls.get((session_key, raw_id))
        if handle is not None:
            handle.cancel()
        return handle is not None

    async def _search(self, session_key: str, raw_id: bytes) -> None:
        try:
            for wait_s in (0.0, AGAIN_S):
                await asyncio.sleep(wait_s)
                address = await self._state.get(self._place(session_key, raw_id))
                if address is not None:
                    await self._mail.tell(address.decode(), "cancel", session_key, raw_id)
                    return
        except StoreUnavailable:
            pass  # a cancellation may be lost (2025-11-25, basic/utilities/cancellation)
        finally:
            self._searches -= 1

    async def _asked(self, session_key: str, raw_id: bytes) -> None:
        self._cancel_here(session_key, raw_id)

    def _write(self, handle: Handle) -> None:
        handle.timer = None
        handle.is_written = True
        self._tasks.start(self._note(handle), "in flight: write")

    async def _note(self, handle: Handle) -> None:
        try:
            await self._state.put(self._place(handle.key, handle.raw_id), self._mail.address.encode(), KEPT_S)
        except StoreUnavailable:
            return  # then it is cancelled in its own process only

    async def _forget(self, handle: Handle) -> None:
        try:
            await self._state.drop(self._place(handle.key, handle.raw_id))
        except StoreUnavailable:
            return

    def _place(self, session_key: str, raw_id: bytes) -> tuple[str, ...]:
        return (*self._sessions.key("call", session_key), raw_id.decode())
