"""An event loop in a thread of its own, for the code of one server.

On the node's loop a tool that blocks would stop every call of every caller, and a tool that says `sys.exit()` would end
the node: asyncio lets SystemExit of any task through to whoever runs the loop. Here the first stops its own server and
the second ends this loop, which is made again.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class OwnLoop:
    """Started by the first `run`. All its methods are for the thread of whoever made it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._live, name=name, daemon=True
        )  # a stuck tool must not hold the node
        self._stopping = asyncio.Event()
        self.why = ""
        """Why it ended, if its code ended it."""
        self.channels = 0
        """How many run on it; whoever counts them down to none stops it."""

    @property
    def is_dead(self) -> bool:
        """Whether its code ended it."""
        return bool(self.why)

    def run(self, work: Coroutine[Any, Any, None]) -> "concurrent.futures.Future[None]":
        """Run `work` there. Cancelling the future cancels it."""
        if self._thread.ident is None:
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[..., None], *arguments: Any) -> bool:
        """Call `function` there soon; False when the loop has ended."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def stop(self) -> None:
        """End it when its turn is over; not waited for."""
        if self._thread.ident is None:
            self._loop.close()
        else:
            self.call(self._stopping.set)

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # it cancels and awaits what is left
            try:
                runner.run(self._until_stopped())
            except BaseException as error:  # SystemExit and its like: the end of this thread and of nothing else
                self.why = f"the server's code ended its thread: {error!r}"

    async def _until_stopped(self) -> None:
        await self._stopping.wait()
