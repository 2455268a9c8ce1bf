"""Lines out, joined and bounded."""

import asyncio


class LineWriter:
    """Writes the lines of one turn of the loop in one go. What the other side does not read waits here, where it is
    counted: at most `max_unsent_bytes`, beside as much again in the transport."""

    __slots__ = (
        "_is_closed",
        "_is_flushing",
        "_is_paused",
        "_loop",
        "_max_unsent_bytes",
        "_transport",
        "_unsent",
        "size",
    )

    def __init__(self, max_unsent_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_unsent_bytes = max_unsent_bytes
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._is_flushing = False
        self._is_paused = False
        self._is_closed = False
        self.size = 0
        """Bytes that wait."""

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """Say where the lines go."""
        self._transport = transport

    def write(self, line: bytes) -> bool:
        """Queue `line`; False when closed or full."""
        if self._is_closed or self.size + len(line) > self._max_unsent_bytes:
            return False
        self._unsent.append(line)
        self.size += len(line)
        if not self._is_flushing and not self._is_paused:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        self._is_flushing = False
        if self._is_paused or self._transport is None or not self._unsent:
            return
        if self._transport.is_closing():  # the other side is gone, which its owner hears of in a turn of its own
            self.close()
            return
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._unsent.clear()
        self.size = 0
        self._transport.write(data)

    def pause(self) -> None:
        """The transport is full."""
        self._is_paused = True

    def resume(self) -> None:
        """The transport takes bytes again."""
        self._is_paused = False
        self._flush()

    def close(self) -> None:
        """Nothing is written any more."""
        self._is_closed = True
        self._unsent.clear()
        self.size = 0
