"""A line channel over a Unix socket, to the process of the same node that owns the child (see `relay.py`)."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.lines import LineSplitter
from mantlet.upstreams.transports.channel.writer import LineWriter


class LineProtocol(asyncio.Protocol):
    """Either end of a socket of lines; `reader` hears it."""

    def __init__(self, reader: LineReader, *, max_line_bytes: int, max_unsent_bytes: int) -> None:
        self._reader = reader
        self._splitter = LineSplitter(max_line_bytes)
        self._writer = LineWriter(max_unsent_bytes)
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's are of no class of asyncio's
        self._writer.attach(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Bytes become lines."""
        for line in self._splitter.feed(data):
            self._reader.on_line(line)
        if self._splitter.oversized:
            heads, self._splitter.oversized = self._splitter.oversized, []
            for head in heads:
                self._reader.on_oversized(head)

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """The other side reads again."""
        self._writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._writer.close()
        self._reader.on_closed("the process that owns the server closed the channel")
        self.closed.set()

    def write_line(self, line: bytes) -> bool:
        """As `LineChannel` says."""
        return self._writer.write(line)


class SocketChannel(LineProtocol):
    """A worker's end: to its supervisor what a child is to the owner's. Stopping it does not stop the child."""

    pid: int | None = None
    exit_code: int | None = None
    last_lines: Iterable[str] = ()

    @classmethod
    async def connect(
        cls, path: str, config: ChannelConfig, reader: LineReader, _on_stderr: Callable[[str], None]
    ) -> "SocketChannel":
        """Open it; raises `UpstreamUnavailable`."""
        channel = cls(reader, max_line_bytes=config.max_line_bytes, max_unsent_bytes=config.max_unsent_bytes)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: channel, path)
        except OSError as error:
            raise UpstreamUnavailable(why=f"the process that owns the server is not there: {error}") from error
        return channel

    def account(self) -> str:
        """How it ended; the owner knows more."""
        return "the owner's channel"

    async def stop(self, timeout_s: float) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.closed.wait()
