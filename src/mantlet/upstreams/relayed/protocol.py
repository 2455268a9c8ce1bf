"""Either end of the socket."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from mantlet.upstreams.relayed.frames import Frame, FrameSplitter, framed

HIGH_WATER_BYTES = 1_048_576
"""What the socket does not take before whoever writes is made to wait."""


class Peer(Protocol):
    """Who hears an end. None may raise."""

    def on_frame(self, frame: bytes, /) -> None:
        """A frame came."""
        ...

    def on_lost(self) -> None:
        """The other end is gone. Said once."""
        ...


class FrameProtocol(asyncio.Protocol):
    """Frames out, joined for one turn of the loop; frames in."""

    def __init__(self, peer: Peer, check: Callable[[asyncio.BaseTransport], bool] = lambda _transport: True) -> None:
        self._peer = peer
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._splitter = FrameSplitter()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are of no class of asyncio's
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)  # type: ignore[union-attr]
        if not self._check(transport):
            self.close()

    def data_received(self, data: bytes) -> None:
        """Bytes become frames."""
        try:
            frames = self._splitter.feed(data)
        except ValueError:
            self.close()  # our own code does not do that
            return
        for frame in frames:
            self._peer.on_frame(frame)

    def send(self, frame: Frame) -> None:
        """Queue `frame`; nothing happens when the other end is gone."""
        if self.is_lost:
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(framed(frame))

    async def writable(self) -> None:
        """Wait until the other end has read enough. Asked before what is large or comes again and again."""
        if not self._writable.is_set():
            await self._writable.wait()

    def close(self) -> None:
        """Send what is queued, and end it."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The other end reads again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone, or this one closed."""
        self.is_lost = True
        self._unsent.clear()
        self._writable.set()
        self._peer.on_lost()

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self.is_lost:
            data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
            self._unsent.clear()
            self._transport.write(data)
