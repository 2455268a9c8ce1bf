"""A retry that came to another process than the one that holds the call (several workers, several nodes on a store).

The process that was asked sends the client's answers to the holder, which sends back what comes for the call: at most
so much unread, with a sign of life every few seconds, and a clear end when either process is gone or silent.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from mantlet.core.clock import Clock
from mantlet.core.ports import Post
from mantlet.core.refusal import BadUpstream, InvalidParams, Overloaded, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_legacy.exchange import Exchange
from mantlet.upstreams.bridge.to_legacy.leg import Answer, Item, Leg
from mantlet.wire.mcp.bridge.to_legacy_inputs import Responses
from mantlet.wire.mcp.bridge.to_legacy_requests import Wishes

FIRST_S: Final = 5.0
"""How long the holder may take to say anything at all: it is in the same node or near it."""
SIGN_S: Final = 5.0
SILENCE_S: Final = 20.0
"""After that without a sign of life the holder is taken for dead."""
MAX_QUEUED_BYTES: Final = 4_194_304
MAX_RELAYED: Final = 1_000
"""Calls that one process may hand to others at a time."""
GONE: Final = "The process that held this call is gone; begin anew, without requestState."
UNKNOWN: Final = "This requestState was used already, or its time is over."


Resume = Callable[[str, bytes, Leg, Responses], Awaitable[Exchange]]
"""Takes the held call of a ticket up again, ready for `next`, if it was held under that context. Raises a `Refusal`."""


class Asking(msgspec.Struct, tag="ask", array_like=True):
    """To the holder: go on with the call, and send what comes to `box` at `address`."""

    address: str
    box: str
    ticket: str
    context: bytes
    raw_id: bytes
    capabilities: dict[str, Any]
    client: dict[str, Any]
    level: int
    token: bytes
    responses: dict[str, dict[str, Any]]


class Leaving(msgspec.Struct, tag="leave", array_like=True):
    """To the holder: the client that asked by `box` has left."""

    box: str


class Sign(msgspec.Struct, tag="sign", array_like=True):
    """From the holder: it is at work. `is_streaming` as in `leg.Source`."""

    is_streaming: bool


class Came(msgspec.Struct, tag="came", array_like=True):
    """From the holder: a notification."""

    data: bytes


class Answered(msgspec.Struct, tag="answer", array_like=True):
    """From the holder: the end of this leg."""

    status: int
    body: bytes


class Refused(msgspec.Struct, tag="refused", array_like=True):
    """From the holder: it cannot go on. `is_callers` tells whose fault it is."""

    is_callers: bool
    detail: str


_TO_HOLDER: Final = msgspec.msgpack.Decoder(Asking | Leaving)
_TO_ASKER: Final = msgspec.msgpack.Decoder(Sign | Came | Answered | Refused)
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError)


def box_of(server: str) -> str:
    """Where the holder of a server's calls is reached."""
    return f"to-legacy:{server}"


class Remote:
    """The asker's side, as an `leg.Source`."""

    def __init__(self, post: Post, holder: str, server: str, clock: Clock, tasks: Tasks) -> None:
        self._post = post
        self._holder = holder
        self._server = server
        self._clock = clock
        self._tasks = tasks
        self._box = f"to-legacy-reply:{secrets.token_hex(12)}"
        self._queue: deque[Came | Answered | Refused] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._silent_from_s = clock.monotonic() + FIRST_S
        self._is_over = False
        self.is_streaming = False

    async def ask(self, ticket: str, context: bytes, leg: Leg, responses: Responses) -> None:
        """Hand the answers over. Raises `InvalidParams` when nobody is there, `StoreUnavailable`."""
        said = leg.said
        asking = Asking(
            self._post.address, self._box, ticket, context, leg.raw_id, dict(said.capabilities), dict(said.client),
            said.level, said.token, {key: dict(response) for key, response in responses.items()},
        )  # fmt: skip
        self._post.open(self._box, self._heard)
        try:
            is_there = await self._post.send(self._holder, box_of(self._server), _ENCODE(asking))
        except BaseException:
            self._close()
            raise
        if not is_there:
            self._close()
            raise InvalidParams(GONE)

    async def next(self, until_s: float) -> Item | None:
        """See `leg.Source`."""
        loop, monotonic = asyncio.get_running_loop(), self._clock.monotonic
        while not self._queue:
            if self._is_over:
                raise BadUpstream(why="the client was too slow for what came from another process")
            now_s = monotonic()
            if now_s >= self._silent_from_s:
                self.leave()
                raise InvalidParams(GONE)
            if now_s >= until_s:
                return None
            self._waiter = loop.create_future()
            timer = loop.call_later(min(until_s, self._silent_from_s) - now_s, self._wake)
            was_streaming = self.is_streaming
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
            if self.is_streaming and not was_streaming and not self._queue:
                return None
        came = self._queue.popleft()
        if isinstance(came, Came):
            self._queued_bytes -= len(came.data)
            return came.data
        self._close()
        if isinstance(came, Answered):
            return Answer(came.status, came.body)
        raise InvalidParams(came.detail) if came.is_callers else BadUpstream(why=came.detail)

    def leave(self) -> None:
        """The client has left; the holder hears of it."""
        if not self._is_over:
            self._close()
            self._tasks.start(self._tell_left(), "bridge-leave")

    async def _tell_left(self) -> None:
        with suppress(Refusal):  # it ends without that, when nobody hears what it sends
            await self._post.send(self._holder, box_of(self._server), _ENCODE(Leaving(self._box)))

    def _heard(self, message: bytes) -> None:
        try:
            came = _TO_ASKER.decode(message)
        except _FAULTS:
            return
        self._silent_from_s = self._clock.monotonic() + SILENCE_S
        if isinstance(came, Sign):
            self.is_streaming |= came.is_streaming
        else:
            if isinstance(came, Came):
                self._queued_bytes += len(came.data)
                if self._queued_bytes > MAX_QUEUED_BYTES:
                    self.leave()
            if not self._is_over:
                self._queue.append(came)
        self._wake()

    def _close(self) -> None:
        self._is_over = True
        self._post.close(self._box)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Relay:
    """The holder's side: `resume` finds the call, and what comes for it is sent to who asked."""

    def __init__(self, post: Post, server: str, resume: Resume, clock: Clock, tasks: Tasks) -> None:
        self._post = post
        self._server = server
        self._resume = resume
        self._clock = clock
        self._tasks = tasks
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        post.open(box_of(server), self._heard)

    def __len__(self) -> int:
        return len(self._under_way)

    def close(self) -> None:
        """Hear nobody any more. What is under way ends with its tasks."""
        self._post.close(box_of(self._server))

    def _heard(self, message: bytes) -> None:
        try:
            came = _TO_HOLDER.decode(message)
        except _FAULTS:
            return
        if isinstance(came, Leaving):
            if (task := self._under_way.get(came.box)) is not None:
                task.cancel()
            return
        self._under_way[came.box] = self._tasks.start(self._serve(came), "bridge-relay")

    async def _serve(self, asking: Asking) -> None:
        try:
            await self._relay(asking)
        except Refusal as refusal:
            await self._quietly(asking, Refused(refusal.fault == "caller", refusal.detail))
        except Exception:  # the root of a task: who asked must hear of it
            await self._quietly(asking, Refused(False, "the holder failed"))
            raise
        finally:
            self._under_way.pop(asking.box, None)

    async def _relay(self, asking: Asking) -> None:
        if len(self._under_way) > MAX_RELAYED:
            raise Overloaded(why="too many calls are handed to other processes")
        leg = Leg(asking.raw_id, Wishes(asking.capabilities, asking.client, asking.level, asking.token))
        exchange = await self._resume(asking.ticket, asking.context, leg, asking.responses)
        try:
            if not await self._say(asking, Sign(exchange.is_streaming)):
                exchange.leave()
                return
            while True:
                item = await exchange.next(self._clock.monotonic() + SIGN_S)
                if isinstance(item, Answer):
                    await self._say(asking, Answered(item.status, item.body))
                    return
                sent = Sign(exchange.is_streaming) if item is None else Came(item)
                if not await self._say(asking, sent):
                    exchange.leave()
                    return
        except BaseException:
            exchange.leave()
            raise

    async def _say(self, asking: Asking, said: Sign | Came | Answered | Refused) -> bool:
        return await self._post.send(asking.address, asking.box, _ENCODE(said))

    async def _quietly(self, asking: Asking, said: Refused) -> None:
        with suppress(Refusal):  # who asked will take the silence for an answer
            await self._say(asking, said)
