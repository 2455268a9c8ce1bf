"""The owner's end: it serves an upstream to its sibling processes.

Only processes of the same user are served; the socket's directory is the caller's to protect. When a worker is gone,
its calls are cancelled, and no others.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller, CallerKind
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Upstream
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.upstreams.relayed import refusals
from mantlet.upstreams.relayed.frames import (
    Asked,
    Chunk,
    Ended,
    GivenUp,
    Health,
    HealthAsked,
    Replied,
    Taken,
    read_at_owner,
)
from mantlet.upstreams.relayed.protocol import FrameProtocol

MAX_WORKERS: Final = 256
WINDOW_BYTES: Final = 262_144
"""What of one stream may be on its way; more waits in the stream itself, which is bounded."""


class Owner:
    """`start` serves `upstream` at a path, `close` ends every worker's connection and calls."""

    def __init__(self, upstream: Upstream, *, clock: Clock = SYSTEM) -> None:
        self.upstream = upstream
        self.clock = clock
        self.workers: set[Worker] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, path: str) -> None:
        """Listen at `path`, for this user alone; an old socket there is replaced."""
        with suppress(FileNotFoundError):
            Path(path).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        Path(path).chmod(0o600)
        self._listener = await asyncio.get_running_loop().create_unix_server(self._accept, sock=listener)

    async def close(self) -> None:
        """Stop listening and let the workers go."""
        if self._listener is not None:
            self._listener.close()
        workers = list(self.workers)
        for worker in workers:
            worker.protocol.close()
        for worker in workers:
            await worker.tasks.close()

    def _accept(self) -> asyncio.Protocol:
        worker = Worker(self)
        worker.protocol = FrameProtocol(worker, self._is_welcome)
        self.workers.add(worker)
        return worker.protocol

    def _is_welcome(self, transport: asyncio.BaseTransport) -> bool:
        peer = transport.get_extra_info("socket")
        return peer is not None and is_same_user(peer) and len(self.workers) <= MAX_WORKERS


class Worker:
    """One sibling process: its calls, each a task."""

    protocol: FrameProtocol

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._calls: dict[int, asyncio.Task[Any]] = {}
        self._windows: dict[int, Window] = {}
        self.tasks = Tasks(lambda _error: None)

    def on_frame(self, frame: bytes, /) -> None:
        """See `protocol.Peer`."""
        try:
            message = read_at_owner(frame)
        except ValueError:
            self.protocol.close()  # our own code does not do that
            return
        number = message.number
        if isinstance(message, Asked):
            # Started in the order of arrival, and each runs to where it writes to its channel: messages keep theirs.
            self._calls[number] = self.tasks.start(self._serve(message), "relayed", tells_itself=True)
        elif isinstance(message, Taken):
            if (window := self._windows.get(number)) is not None:
                window.give_back(message.size)
        elif isinstance(message, GivenUp):
            if (task := self._calls.pop(number, None)) is not None:  # here, as one that never ran cleans up nothing
                task.cancel()
        elif isinstance(message, HealthAsked):
            self.tasks.start(self._health(number), "relayed:health")

    def on_lost(self) -> None:
        """See `protocol.Peer`."""
        self._owner.workers.discard(self)
        calls, self._calls = self._calls, {}
        for task in calls.values():
            task.cancel()

    async def _serve(self, asked: Asked) -> None:
        try:
            reply = await self._owner.upstream.send(called(asked, self._owner.clock.monotonic()))
            await self.protocol.writable()
            if isinstance(reply.body, bytes):
                self.protocol.send(Replied(asked.number, reply.status, reply.headers, reply.body))
            else:
                await self._stream(asked.number, reply)
        except Refusal as refusal:
            self.protocol.send(refusals.told(asked.number, refusal))
        except Exception as error:  # a task root; the worker's client must hear something
            self.protocol.send(refusals.told(asked.number, Refusal(why=f"{type(error).__name__}: {error}"[:500])))
        finally:
            self._calls.pop(asked.number, None)

    async def _stream(self, number: int, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes)
        window = self._windows[number] = Window()
        try:
            self.protocol.send(Replied(number, reply.status, reply.headers, None))
            async for chunk in reply.body:
                self.protocol.send(Chunk(number, chunk))
                await window.take(len(chunk))
                await self.protocol.writable()
            self.protocol.send(Ended(number))
        finally:
            del self._windows[number]
            await aclose(reply.body)

    async def _health(self, number: int) -> None:
        self.protocol.send(Health(number, msgspec.json.encode(await self._owner.upstream.health())))


class Window:
    """How much of one stream its reader has not read."""

    __slots__ = ("_has_room", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._has_room = asyncio.Event()

    async def take(self, size: int) -> None:
        """Count what was sent, and wait while it is too much."""
        self._size += size
        if self._size >= WINDOW_BYTES:
            self._has_room.clear()
            await self._has_room.wait()

    def give_back(self, size: int) -> None:
        """So much of it was read."""
        self._size -= size
        if self._size < WINDOW_BYTES:
            self._has_room.set()


def called(asked: Asked, now_s: float) -> Call:
    """The call that a frame tells of. Its body has been read strictly by the worker, whose decision it carries out."""
    message = msgspec.json.decode(asked.body) if asked.body else {}
    deadline_s = now_s + asked.remaining_s
    caller = _caller(*asked.caller)
    trail = Trail(asked.request_id, "relayed", "", 0.0, server=asked.server, era=asked.era, rpc_id=asked.id)
    arrival = Arrival("POST", "", b"", Headers(asked.headers), "", _read, deadline_s, trail, False, caller,
                      asked.is_message)  # fmt: skip
    return Call(
        arrival=arrival,
        caller=caller,
        kind=asked.kind,
        era=asked.era,
        server=asked.server,
        method=asked.method,
        target=asked.target,
        params=message.get("params") or {},
        body=asked.body,
        id=asked.id,
        deadline_s=deadline_s,
        session=asked.session,
        message=message,
    )


@lru_cache(maxsize=4_096)
def _caller(
    tenant: str,
    issuer: str,
    subject: str,
    kind: CallerKind,
    roles: frozenset[str],
    scopes: frozenset[str],
    act: tuple[str, ...],
) -> Caller:
    return Caller(subject, issuer, "relayed", tenant, kind, roles, scopes, act=act)


async def _read() -> bytes:
    return b""


def is_same_user(peer: socket.socket) -> bool:
    """Whether the process at the other end runs as this user."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the file mode of the socket is what there is
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())
