"""The bytes of one connection, counted, at the speed of whoever is slower: client or node."""

import asyncio
from typing import cast

from mantlet.listeners.http.door import NEVER_S, Door


class Flow(asyncio.Protocol):
    """Writing and reading, and holding either back. What the bytes mean is for those who build on it."""

    __slots__ = (
        "_is_read_paused",
        "_transport",
        "_writable",
        "bytes_in",
        "bytes_out",
        "door",
        "is_write_paused",
        "write_deadline_s",
    )

    def __init__(self, door: Door) -> None:
        self.door = door
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._is_read_paused = False
        self._writable: asyncio.Future[None] | None = None
        self.is_write_paused = False
        self.write_deadline_s = NEVER_S
        self.bytes_in = self.bytes_out = 0

    def write(self, data: bytes) -> None:
        """Send and count."""
        self.bytes_out += len(data)
        self._transport.write(data)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self.is_write_paused = True
        self.write_deadline_s = self.door.clock.monotonic() + self.door.config.write_timeout

    def resume_writing(self) -> None:
        """It has read on."""
        self.is_write_paused = False
        self.write_deadline_s = NEVER_S
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def writable(self) -> None:
        """Wait until the client has read enough of what was sent."""
        self._writable = asyncio.get_running_loop().create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def _pause_reading(self) -> None:
        if not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()
