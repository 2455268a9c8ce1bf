"""A worker's end: an `Upstream` that another process of the node runs."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import BadUpstream, Refusal, UpstreamUnavailable
from mantlet.upstreams.relayed import refusals
from mantlet.upstreams.relayed.frames import (
    Asked,
    Chunk,
    Ended,
    Frame,
    GivenUp,
    Health,
    HealthAsked,
    Refused,
    Replied,
    Taken,
    read_at_worker,
)
from mantlet.upstreams.relayed.protocol import FrameProtocol

HEALTH_S: Final = 2.0
CARRIED: Final = frozenset(
    {b"accept", b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"last-event-id", b"traceparent", b"tracestate"}
)
"""The headers that a server behind a channel, or the bridge before it, reads."""
_LOST: Final = "the process that owns the server's channels is gone"


class RelayedUpstream:
    """`send` carries whole calls to the owner at `path`. Opened by the first call, and again after a loss."""

    def __init__(self, name: str, path: str, *, clock: Clock = SYSTEM) -> None:
        self._name = name
        self._path = path
        self._clock = clock
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        """As configured."""
        return self._name

    async def send(self, call: Call, /) -> Reply:
        """See the port."""
        connection = self._connection
        if connection is None or connection.protocol.is_lost:
            connection = await self._connect()
        waiting = connection.ask()
        try:
            await connection.protocol.writable()
            connection.protocol.send(asked(waiting.number, call, call.deadline_s - self._clock.monotonic()))
            return await waiting.reply
        except asyncio.CancelledError:
            waiting.give_up()
            raise

    async def health(self) -> Mapping[str, Any]:
        """The owner's account."""
        try:
            connection = self._connection
            if connection is None or connection.protocol.is_lost:
                connection = await self._connect()
            async with asyncio.timeout(HEALTH_S):
                return await connection.health()
        except (Refusal, TimeoutError) as error:
            reason = error.why if isinstance(error, Refusal) else "its owner does not answer"
            return {"name": self._name, "state": "unhealthy", "reason": reason}

    async def close(self) -> None:
        """End the connection, and with it the calls on it."""
        if self._connection is not None:
            self._connection.protocol.close()

    async def _connect(self) -> "Connection":
        async with self._connecting:
            if self._connection is None or self._connection.protocol.is_lost:
                connection = Connection()
                try:
                    await asyncio.get_running_loop().create_unix_connection(lambda: connection.protocol, self._path)
                except OSError as error:
                    raise UpstreamUnavailable(why=f"{_LOST}: {error}") from error
                self._connection = connection
            return self._connection


def asked(number: int, call: Call, remaining_s: float) -> Asked:
    """The frame of a call."""
    arrival, caller = call.arrival, call.caller
    return Asked(
        number,
        (caller.tenant, caller.issuer, caller.subject, caller.kind, caller.roles, caller.scopes, caller.act),
        call.kind,
        call.era,
        call.server,
        call.method,
        call.target,
        call.id,
        call.session,
        remaining_s,
        [field for field in arrival.headers.fields if field[0] in CARRIED],
        arrival.is_message,
        arrival.trail.request_id,
        call.body,
    )


class Connection:
    """One socket and the calls on it."""

    def __init__(self) -> None:
        self.protocol = FrameProtocol(self)
        self._count = 0
        self._waiting: dict[int, Waiting] = {}
        self._asked_health: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    def ask(self) -> "Waiting":
        """A new call's place."""
        self._count += 1
        waiting = self._waiting[self._count] = Waiting(self, self._count)
        return waiting

    async def health(self) -> Mapping[str, Any]:
        """Ask the owner."""
        self._count += 1
        asked: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked_health[self._count] = asked
        self.protocol.send(HealthAsked(self._count))
        return await asked

    def forget(self, number: int) -> bool:
        """Nothing more is expected; whether anything was."""
        return self._waiting.pop(number, None) is not None

    def on_frame(self, frame: bytes, /) -> None:
        """See `protocol.Peer`."""
        message = read_at_worker(frame)
        number = message.number
        if isinstance(message, Health):
            asked = self._asked_health.pop(number, None)
            if asked is not None and not asked.done():
                asked.set_result(msgspec.json.decode(message.report))
            return
        waiting = self._waiting.get(number)
        if waiting is None:
            return  # given up meanwhile
        if not isinstance(message, Chunk) and not (isinstance(message, Replied) and message.body is None):
            del self._waiting[number]
        waiting.hear(message)

    def on_lost(self) -> None:
        """See `protocol.Peer`: every call fails at once."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.lose()
        for asked in self._asked_health.values():
            if not asked.done():
                asked.set_exception(UpstreamUnavailable(why=_LOST))
        self._asked_health.clear()


class Waiting:
    """One call: first its reply, then perhaps a stream."""

    __slots__ = ("_connection", "_stream", "number", "reply")

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._stream: RelayedStream | None = None
        self.number = number
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def hear(self, frame: Frame) -> None:
        """What the owner says of it."""
        if isinstance(frame, Chunk):
            if self._stream is not None:
                self._stream.add(frame.data)
        elif isinstance(frame, Ended):
            if self._stream is not None:
                self._stream.end(None)
        elif self.reply.done():
            if isinstance(frame, Refused) and self._stream is not None:
                self._stream.end(refusals.heard(frame))
        elif isinstance(frame, Replied):
            if frame.body is not None:
                self.reply.set_result(Reply(frame.status, frame.headers, frame.body))
            else:
                self._stream = RelayedStream(self)
                self.reply.set_result(Reply(frame.status, frame.headers, self._stream))
        elif isinstance(frame, Refused):
            self.reply.set_exception(refusals.heard(frame))

    def taken(self, size: int) -> None:
        """The client has read so much."""
        self._connection.protocol.send(Taken(self.number, size))

    def give_up(self) -> None:
        """The client is gone: what is still under way is cancelled at the owner."""
        if self._connection.forget(self.number):
            self._connection.protocol.send(GivenUp(self.number))
        if self.reply.done() and not self.reply.cancelled():
            self.reply.exception()  # it came in the same turn; nobody will look at it

    def lose(self) -> None:
        """The owner is gone."""
        lost = BadUpstream("The server ended in mid-call.", why=_LOST)
        if not self.reply.done():
            self.reply.set_exception(lost)
        elif self._stream is not None:
            self._stream.end(lost)


class RelayedStream:
    """The chunks of one reply, as the owner sends them: never much more than its window."""

    __slots__ = ("_chunks", "_failure", "_is_ended", "_reader", "_waiting")

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._chunks: list[bytes] = []
        self._is_ended = False
        self._failure: Refusal | None = None
        self._reader: asyncio.Future[None] | None = None

    def add(self, chunk: bytes) -> None:
        """More came."""
        self._chunks.append(chunk)
        self._wake()

    def end(self, failure: Refusal | None) -> None:
        """Nothing more comes."""
        self._is_ended, self._failure = True, failure
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def __aiter__(self) -> "RelayedStream":
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks and not self._is_ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._chunks:
            chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            self._waiting.taken(len(chunk))
            return chunk
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give it up; the owner hears of it at once."""
        self._chunks.clear()
        self.end(None)
        self._waiting.give_up()
