"""One conversation in lines over the standard streams, until the client ends it."""

import asyncio
from contextlib import suppress
from typing import Final, cast

from mantlet.core.caller import Caller
from mantlet.core.record import Trail
from mantlet.core.refusal import PayloadTooLarge
from mantlet.listeners.messages import envelope
from mantlet.listeners.messages.carrier import Ending, Gate, Terms
from mantlet.listeners.messages.conversation import Conversation
from mantlet.listeners.messages.lines import Lines
from mantlet.listeners.stdio.streams import connect
from mantlet.wire import answer

END_S: Final = 1.0
"""How long what nobody waits for may take: the end of sessions, the last lines, requests of a client that is gone."""
PEER: Final = "local"


class StdioDoor(asyncio.Protocol):
    """The carrier of the one conversation; `done` is set once it is over, `flushed` once all of it is written."""

    def __init__(self, terms: Terms, caller: Caller, path: str, max_line_bytes: int) -> None:
        self.done = asyncio.Event()
        self.flushed = asyncio.Event()
        self._terms = terms
        self._lines = Lines(max_line_bytes)
        self._gate = Gate()
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._is_read_paused = False
        self._conversation = Conversation(terms, self, caller, path, PEER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stdin is being read."""
        self._reader = cast(asyncio.ReadTransport, transport)  # uvloop's are no subclasses

    def begin(self, writer: asyncio.WriteTransport) -> None:
        """Stdout can be written to."""
        self._writer = writer
        self.room()

    def connection_lost(self, error: Exception | None) -> None:
        """Stdin or stdout is closed."""
        self.eof_received()

    def eof_received(self) -> bool:
        """The client has said all it wants to: it ends once what it asked for is answered (MCP, stdio, "Shutdown").

        A client that wants it sooner says so by SIGTERM, as the specification has it, or by closing stdout.
        """
        self._end_within(self._terms.request_timeout_s + END_S)  # the answer to what is late at its deadline comes, too
        return True

    def _end_within(self, limit_s: float) -> None:
        if not self.done.is_set():
            asyncio.get_running_loop().call_later(limit_s, self.close, Ending.DONE)
            self._conversation.leave()

    def data_received(self, data: bytes) -> None:
        """Bytes of lines."""
        self._lines.feed(data)
        if not self._is_read_paused:
            self._read_lines()

    @property
    def _is_waiting(self) -> bool:
        return self._gate.is_shut or self._conversation.is_full or self._writer is None

    def _read_lines(self) -> None:
        try:
            while not (self._is_waiting or self.done.is_set()):
                line = self._lines.next()
                if line is None:
                    return
                self._conversation.receive(line)
        except PayloadTooLarge as refusal:
            trail = Trail(self._terms.new_id(), self._terms.door, PEER, 0.0)
            self.send(answer.rpc_error(refusal, trail))
            self.close(Ending.ABUSE)
            return
        if self._reader is not None and not self._is_read_paused:
            self._is_read_paused = True
            self._reader.pause_reading()

    def room(self) -> None:
        """The conversation takes messages again."""
        if self._is_read_paused and not (self._is_waiting or self.done.is_set()):
            self._is_read_paused = False
            if self._reader is not None and not self._reader.is_closing():
                self._reader.resume_reading()
            self._read_lines()

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not keep up."""
        return self._gate.is_shut

    def send(self, message: bytes) -> None:
        """One line."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(envelope.one_line(message) + b"\n")

    async def writable(self) -> None:
        """Wait until the client has read on."""
        await self._gate.passed()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._gate.shut()

    def resume_writing(self) -> None:
        """It has read on."""
        self._gate.open()
        self.room()

    def close(self, ending: Ending) -> None:
        """It is over."""
        if self.done.is_set():
            return
        self.done.set()
        self._conversation.end()
        self._gate.open()
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def written(self) -> None:
        """All that was sent is written, or nobody takes it any more."""
        self.flushed.set()
        self._end_within(END_S)


async def converse(
    terms: Terms, caller: Caller, path: str, *, incoming: int, outgoing: int, max_line_bytes: int, stop: asyncio.Event
) -> None:
    """Serve the client at the other end of two descriptors until it, or `stop`, ends it."""
    door = StdioDoor(terms, caller, path, max_line_bytes)
    door.begin(await connect(door, incoming, outgoing, on_written=door.written))
    stopping = terms.tasks.start(stop.wait(), "stdio stop")
    stopping.add_done_callback(lambda _: door.close(Ending.LEAVING))
    try:
        await door.done.wait()
    finally:
        stopping.cancel()
        await terms.ended(END_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await door.flushed.wait()
