"""The line between the supervisor and one worker: a socket pair that both ends hold for as long as they live.

Frames are a length and bytes. The first is the worker's order; after it each side asks and answers in JSON. When one
side dies the other reads the end of the stream, at once and without a heartbeat.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
_LENGTH_BYTES: Final = 4

Answer = Callable[[str, bytes], Awaitable[Any]]
"""Takes what is asked, and what came with the question."""


class Link:
    """One end. `ask` may be called from many tasks at once; `serve` reads until the other end is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._count = 0

    @classmethod
    async def over(cls, end: socket.socket) -> "Link":
        """A link over one end of a socket pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_FRAME_BYTES))

    async def receive(self) -> bytes:
        """The next frame. Raises `EOFError` when the other end is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            if length > MAX_FRAME_BYTES:
                raise EOFError
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error

    def send(self, frame: bytes) -> None:
        """Queue a frame. Nothing happens when the other end is gone: reading tells."""
        if not self._writer.is_closing():
            self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)

    async def ask(self, what: str, timeout_s: float, load: bytes = b"") -> bytes:
        """The other end's answer as JSON. Raises `TimeoutError` or `EOFError`."""
        self._count += 1
        number = self._count
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.send(msgspec.json.encode(_Message(number, what, load)))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._asked.pop(number, None)

    async def serve(self, answer: Answer) -> None:
        """Answer what the other end asks, and take its answers, until it is gone."""
        try:
            while True:
                message = msgspec.json.decode(await self.receive(), type=_Message)
                if message.ask:
                    self.send(
                        msgspec.json.encode(
                            _Message(message.number, answer=_raw(await answer(message.ask, message.load)))
                        )
                    )
                elif (asked := self._asked.get(message.number)) is not None and not asked.done():
                    asked.set_result(bytes(message.answer))
        except EOFError:
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(EOFError("the other process is gone"))
        finally:
            self._writer.close()


class _Message(msgspec.Struct, omit_defaults=True):
    number: int
    ask: str = ""
    load: bytes = b""
    answer: msgspec.Raw = msgspec.Raw(b"")


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
