"""What channels over a socket have in common: who owns the transport, what waits to be sent, and how it ends."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from mantlet.upstreams.transports.channel.writer import LineWriter

ABORT_GRACE_S: Final = 1.0
"""How long the loop may take to tell of an end that we made ourselves."""


class SocketChannel(asyncio.Protocol):
    """The socket half of an `OwnedChannel`: no process, no stderr, one transport."""

    pid: int | None = None
    exit_code: int | None = None
    last_lines: Iterable[str] = ()

    def __init__(self, max_unsent_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None  # uvloop's are of no class of asyncio's
        self._writer = LineWriter(max_unsent_bytes)
        self._ended = asyncio.Event()
        self._why = ""

    @property
    def why(self) -> str:
        """Why it is over; empty while it is not."""
        return self._why

    def abort(self) -> None:
        """Close at once, whether or not it ever opened."""
        if self._transport is None:
            self._ended.set()
        else:
            self._transport.abort()

    async def _ends_within(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = transport
        self._writer.attach(transport)  # type: ignore[arg-type]

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """The server reads again."""
        self._writer.resume()
