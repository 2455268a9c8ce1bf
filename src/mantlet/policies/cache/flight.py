"""One computation, and all who wait for it (CACHE-03).

Every waiter has a future of its own: a future that many shield leaks a callback for each that is cancelled. Who began
it is a waiter like the others and may leave; the last one to leave ends it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from mantlet.core.refusal import DeadlineExceeded
from mantlet.core.tasks import Tasks
from mantlet.policies.cache.failure import again, is_shared

T = TypeVar("T")


class Flight(Generic[T]):
    """`starter` is the waiter for whom it was begun; None in the background, where it goes on without any."""

    __slots__ = ("deadline_s", "is_background", "is_told", "key", "marks", "most", "scopes", "starter", "task",
                 "waiters")  # fmt: skip

    def __init__(
        self, key: bytes, scopes: tuple[str, ...], marks: tuple[int, ...], deadline_s: float, *, is_background: bool
    ) -> None:
        self.key, self.scopes, self.marks, self.deadline_s = key, scopes, marks, deadline_s
        self.is_background = is_background
        self.is_told = False
        """Whether its waiters know what came of it; its task may have more to do."""
        self.waiters: dict[asyncio.Future[T | None], None] = {}
        self.starter: asyncio.Future[T | None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.most = 0
        """Waiters at one time."""


class Flights(Generic[T]):
    """Those under way, one a key. Belongs to one loop.

    `dispose` is given what was meant for one waiter alone and found nobody there.
    """

    def __init__(self, tasks: Tasks, monotonic: Callable[[], float], dispose: Callable[[T], None]) -> None:
        self._tasks, self._monotonic, self._dispose = tasks, monotonic, dispose
        self._flights: dict[bytes, Flight[T]] = {}
        self.background = 0
        """Those that began in the background."""

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: bytes) -> Flight[T] | None:
        """The one under way."""
        return self._flights.get(key)

    def begin(self, flight: Flight[T], work: Callable[[Flight[T]], Coroutine[Any, Any, None]], name: str) -> None:
        """Start `work`, which ends it by `succeed` or `fail`."""
        self._flights[flight.key] = flight
        self.background += flight.is_background
        flight.task = self._tasks.start(work(flight), name)

    async def wait(self, flight: Flight[T], deadline_s: float, *, is_starter: bool = False) -> T | None:
        """What comes of it; None where that was meant for its starter alone.

        Raises what it raised, in a copy, or `DeadlineExceeded` when the waiter's own time is over. Cancelling one
        waiter cancels no other.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T | None] = loop.create_future()
        flight.waiters[future] = None
        flight.most = max(flight.most, len(flight.waiters))
        if is_starter:
            flight.starter = future
        timer = None
        if deadline_s < flight.deadline_s:
            timer = loop.call_later(max(0.0, deadline_s - self._monotonic()), _expire, future)
        try:
            return await future
        except asyncio.CancelledError:
            if is_starter and future.done() and not future.cancelled() and future.exception() is None:
                # It came in the very turn in which the one it was for left.
                result = future.result()
                if result is not None:
                    self._dispose(result)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            flight.waiters.pop(future, None)
            if not flight.waiters and not flight.is_told and not flight.is_background:
                self._end(flight)

    def succeed(self, flight: Flight[T], result: T, *, for_one: bool = False) -> None:
        """Tell all who wait; `for_one`: its starter alone, and the others that there is nothing for them."""
        self._tell(flight)
        starter = flight.starter
        is_taken = not for_one
        for future in flight.waiters:
            if not future.done():
                is_mine = not for_one or future is starter
                is_taken = is_taken or is_mine
                future.set_result(result if is_mine else None)
        if not is_taken:
            self._dispose(result)

    def leave_alone(self, flight: Flight[T]) -> None:
        """Tell all who wait that there is nothing for them."""
        self._tell(flight)
        for future in flight.waiters:
            if not future.done():
                future.set_result(None)

    def fail(self, flight: Flight[T], error: BaseException) -> None:
        """Tell all who wait; nothing where they were told. What says nothing of the server (its starter's session is
        gone) is told the starter alone, and the others that there is nothing for them."""
        self._tell(flight)
        is_for_all = is_shared(error)
        for future in flight.waiters:
            if not future.done():
                if is_for_all or future is flight.starter:
                    future.set_exception(again(error))
                else:
                    future.set_result(None)

    def detach(self, flight: Flight[T]) -> None:
        """Let nobody join it any more; who waits goes on waiting."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def forget(self, scope: str) -> None:
        """What was asked before a change is no answer to who asks after it."""
        for flight in [flight for flight in self._flights.values() if scope in flight.scopes]:
            self.detach(flight)

    def landed(self, flight: Flight[T]) -> None:
        """Its task is at its end."""
        self.background -= flight.is_background
        flight.task = None

    def _tell(self, flight: Flight[T]) -> None:
        self.detach(flight)
        flight.is_told = True

    def _end(self, flight: Flight[T]) -> None:
        self.detach(flight)
        if flight.task is not None and not flight.task.done():
            flight.task.cancel()


def _expire(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded(why="the deadline passed while the call waited for another's answer"))
