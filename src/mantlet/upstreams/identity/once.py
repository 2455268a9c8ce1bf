"""One asking for all who ask the same at a time: whoever leaves takes the answer from nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from mantlet.core.refusal import Unavailable
from mantlet.core.tasks import Tasks

T = TypeVar("T")


class Once(Generic[T]):
    """Askings under way, by what is asked. An asking ends by itself also when all who waited have left."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Task[T]] = {}
        self._tasks = Tasks(lambda _error: None)  # whoever waits is told

    async def do(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` gives, or what the one gives that is under way for `key`. Raises what it raises."""
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self._tasks.start(work(), "identity", tells_itself=True)
            task.add_done_callback(lambda ended: self._settled(key, ended))
        await asyncio.wait([task])  # not the task itself: a cancelled waiter would cancel it for the others
        if task.cancelled():
            raise Unavailable(why="identity: closed")
        return task.result()

    async def close(self) -> None:
        """Ask nothing more."""
        await self._tasks.close()

    def _settled(self, key: Hashable, task: "asyncio.Task[T]") -> None:
        self._asked.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, also when all who waited have left
