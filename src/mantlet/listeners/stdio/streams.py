"""The standard streams as transports: pipes and sockets as they are, files by way of a thread."""

import asyncio
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final

COPY_BYTES: Final = 65_536


def take_streams() -> tuple[int, int]:
    """Descriptors of what the client writes and reads; from then on `print` and the like go to stderr.

    Only messages may stand on stdout (MCP, stdio transport): a library that prints must not break the line.
    """
    sys.stdout.flush()
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    return incoming, outgoing


async def connect(
    protocol: asyncio.Protocol, incoming: int, outgoing: int, *, on_written: Callable[[], None]
) -> asyncio.WriteTransport:
    """Have `protocol` read `incoming`; gives what writes to `outgoing`, whose flow control `protocol` gets, too."""
    loop = asyncio.get_running_loop()
    # uvloop knows a protocol for reading by its class alone.
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(_pollable(incoming), "rb", buffering=0))
    pipe = os.fdopen(_pollable(outgoing, is_output=True), "wb", buffering=0)
    writer, _ = await loop.connect_write_pipe(lambda: _Writing(protocol, on_written), pipe)
    return writer


class _Writing(asyncio.Protocol):
    """The writing end tells the reader's protocol what concerns it."""

    def __init__(self, protocol: asyncio.Protocol, on_written: Callable[[], None]) -> None:
        self._protocol, self._on_written = protocol, on_written

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._on_written()


def _pollable(descriptor: int, *, is_output: bool = False) -> int:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor):
        return descriptor
    reading, writing = os.pipe()
    ends = (reading, descriptor) if is_output else (descriptor, writing)
    threading.Thread(target=_copy, args=ends, daemon=True, name="stdio").start()
    return writing if is_output else reading


def _copy(source: int, target: int) -> None:
    try:
        while data := os.read(source, COPY_BYTES):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    except OSError:
        pass  # the other end is gone
    finally:
        os.close(target)
        os.close(source)
