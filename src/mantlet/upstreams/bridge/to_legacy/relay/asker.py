"""The side of the process that the client came to."""

import asyncio
import secrets
from collections import deque
from contextlib import suppress
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Post
from mantlet.core.refusal import BadUpstream, InvalidParams, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_legacy.leg import Answer, Item, Leg
from mantlet.upstreams.bridge.to_legacy.relay.messages import (
    Answered,
    Asking,
    Came,
    Leaving,
    Refused,
    Sign,
    box_of,
    read_by_asker,
    written,
)
from mantlet.wire.mcp.bridge.to_legacy_inputs import Responses

FIRST_S: Final = 5.0
"""How long the holder may take to say anything at all: it is in the same node or near it."""
SILENCE_S: Final = 20.0
"""After that without a sign of life the holder is taken for dead."""
MAX_QUEUED_BYTES: Final = 4_194_304
GONE: Final = "The process that held this call is gone; begin anew, without requestState."


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
            is_there = await self._post.send(self._holder, box_of(self._server), written(asking))
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
            await self._post.send(self._holder, box_of(self._server), written(Leaving(self._box)))

    def _heard(self, message: bytes) -> None:
        came = read_by_asker(message)
        if came is None:
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
