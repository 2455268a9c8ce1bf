"""The one place where a task is born outside a TaskGroup: kept, named and reaped."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Tasks with an owner, on one loop. The loop holds tasks weakly; this holds them until they end.

    An exception that nobody awaits goes to `on_error` at once, instead of to a warning at collection.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_error = on_error
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, work: Coroutine[Any, Any, Any], name: str, *, tells_itself: bool = False) -> asyncio.Task[Any]:
        """Run `work` until it ends or `close` cancels it.

        `tells_itself`: the work catches and reports whatever it raises, so its end need not be looked at (1 us less).
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()  # kept, because asking is a system call (getpid)
        # Not `loop.create_task`, which gives it a numbered name before this one.
        task = asyncio.Task(work, loop=loop, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard if tells_itself else self._done)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self, grace_s: float = 5.0) -> None:
        """Cancel what still runs and wait for it, at most `grace_s`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
