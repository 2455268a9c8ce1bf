"""A channel to a server that runs on another loop of this process."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.lines import HEAD_BYTES
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.own_loop import OwnLoop
from mantlet.upstreams.transports.python.serving import serve

MAX_UNHEARD: Final = 256
"""Lines of the server on their way to the node's loop; with more, the server waits."""


class PythonChannel:
    """An `OwnedChannel`. Methods with names in `_their_` run on the server's loop, all others on the node's.

    What both count is written by one alone, and read by the other.
    """

    pid: int | None = None
    exit_code: int | None = None
    last_lines: Iterable[str] = ()

    def __init__(
        self,
        config: PythonServerConfig,
        reader: LineReader,
        loop: OwnLoop,
        make: Callable[[], Any],
        on_end: Callable[[OwnLoop, bool], None],
    ) -> None:
        self._config = config
        self._reader = reader
        self._node = asyncio.get_running_loop()
        self._loop = loop
        self._make = make
        self._on_end: Callable[[OwnLoop, bool], None] | None = on_end
        self._why = ""
        self._ended = asyncio.Event()
        self._sent_bytes = self._heard = 0
        self._their_taken_bytes = self._their_said = 0
        self._their_inbox: deque[bytes] = deque()
        self._their_has_mail = asyncio.Event()
        self._their_room = asyncio.Event()
        self._life = loop.run(self._their_life())

    def account(self) -> str:
        """Which it was; how it ended has been said already."""
        return self._config.object

    def write_line(self, line: bytes) -> bool:
        """As `LineChannel` says."""
        if self._why or self._sent_bytes - self._their_taken_bytes + len(line) > self._config.max_unsent_bytes:
            return False
        self._sent_bytes += len(line)
        return self._loop.call(self._their_put, line)

    async def stop(self, timeout_s: float) -> None:
        """Cancel the server's code. What does not heed that is left to its thread, which nothing can end."""
        self._life.cancel()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ended.wait()
        finally:
            if not self._ended.is_set():
                self._end("the server's code does not end", is_stuck=True)

    def _hear(self, line: bytes) -> None:
        self._heard += 1
        if self._their_said - self._heard == MAX_UNHEARD // 2:
            self._loop.call(self._their_room.set)
        if self._why:
            return
        if len(line) > self._config.max_line_bytes:
            self._reader.on_oversized(line[:HEAD_BYTES])
        else:
            self._reader.on_line(line)

    def _end(self, why: str, *, is_stuck: bool = False) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is None:
            return
        self._why = why
        self._ended.set()
        on_end(self._loop, is_stuck)
        self._reader.on_closed(why)

    # --- on the server's loop

    def _their_put(self, line: bytes) -> None:
        self._their_inbox.append(line)
        self._their_has_mail.set()

    async def _their_lines(self) -> AsyncIterator[bytes]:
        while True:
            await self._their_has_mail.wait()
            while self._their_inbox:
                line = self._their_inbox.popleft()
                yield line
                self._their_taken_bytes += len(line)
            self._their_has_mail.clear()

    async def _their_say(self, line: bytes) -> None:
        self._their_said += 1
        self._their_tell(self._hear, line)
        if self._their_said - self._heard > MAX_UNHEARD:
            self._their_room.clear()
            if self._their_said - self._heard > MAX_UNHEARD // 2:
                await self._their_room.wait()

    async def _their_life(self) -> None:
        why = "the server's code came to its end"
        try:
            server = self._make()
            if inspect.isawaitable(server):
                server = await server
            await serve(server, self._their_lines(), self._their_say)
        except asyncio.CancelledError:
            why = self._loop.why or "stopped"
            raise
        except (
            Exception,
            BaseExceptionGroup,
            SystemExit,
            KeyboardInterrupt,
        ) as error:  # a task root: whatever it was, it is over
            why = self._loop.why or f"the server's code failed: {_cause(error)!r}"
        finally:
            self._their_tell(self._end, why)

    def _their_tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the node's loop has ended, and with it whoever listened
            self._node.call_soon_threadsafe(function, *arguments)


def _cause(error: BaseException) -> BaseException:
    """The first single one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
