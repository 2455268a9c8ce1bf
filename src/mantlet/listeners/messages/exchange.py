"""One message of a client, from its `Arrival` to the last message that goes back for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import BadUpstream, InvalidJson, InvalidRequest, Refusal
from mantlet.core.stream import aclose
from mantlet.listeners.messages import envelope
from mantlet.listeners.messages.envelope import Head, Id
from mantlet.wire import answer
from mantlet.wire.mcp.inbound import SESSION_ID
from mantlet.wire.sse import SseSplitter

if TYPE_CHECKING:
    from mantlet.listeners.messages.conversation import Conversation

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Of one event of a streamed answer."""
AFTER_ANSWER_S: Final = 1.0
"""How long a stream that has brought its answer may take to end by itself; after that it is closed."""
MAX_RESUMES: Final = 32
RESUME_S: Final = 0.5
"""A legacy server may end a stream before its answer and have the client fetch the rest (2025-11-25, "Sending
Messages to the Server"): so often, and so long after."""
_MALFORMED: Final = (InvalidJson, InvalidRequest)


class Whole:
    """A body that is here."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def read(self) -> bytes:
        """The message."""
        return self.body


class Exchange:
    """Owned by its conversation, run as a task. What it writes belongs to `head.id` and to no other request."""

    __slots__ = (
        "_last_event",
        "arrival",
        "cancels",
        "conversation",
        "has_begun",
        "head",
        "is_answered",
        "size",
        "task",
    )

    def __init__(self, conversation: "Conversation", head: Head, arrival: Arrival, size: int = 0) -> None:
        self.conversation = conversation
        self.size = size
        self.head = head
        self.arrival = arrival
        self.cancels: Id | None = None
        """The request that this `notifications/cancelled` is about."""
        self.has_begun = self.is_answered = False
        self.task: asyncio.Task[None] | None = None
        self._last_event: bytes | None = None

    async def serve(self) -> None:
        """Run the path and write what comes back. Never raises but to be cancelled."""
        conversation = self.conversation
        self.has_begun = True
        try:
            try:
                reply = await conversation.terms.handler(self.arrival)
                await self._reply(reply)
            except Refusal as refusal:
                await self._refused(refusal)
            except Exception as error:  # a task root: one generic error (ERR-02)
                conversation.terms.on_error(error, self.arrival.trail)
                await self._refused(Refusal())
        finally:
            conversation.finished(self)

    def stop(self) -> None:
        """Cancel it, once: a second cancellation would strike the clean-up that the first one began."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            if not self.has_begun:  # a task cancelled before its first step runs nothing at all
                self.conversation.finished(self)

    async def _reply(self, reply: Reply) -> None:
        self.conversation.admitted()
        if self.head.method == envelope.INITIALIZE and (session := reply.header(SESSION_ID)) is not None:
            self.conversation.begin_session(session)
        body = reply.body
        if isinstance(body, bytes):
            await self._whole(reply.status, body)
        else:
            await self._streamed(body)

    async def _whole(self, status: int, body: bytes) -> None:
        if not self.head.is_request:
            return  # 202, or a server's complaint about what nobody waits for
        if not body or not await self.pass_on(body):
            await self._refused(BadUpstream(why=f"no answer to the request in a reply of status {status}"))

    async def _streamed(self, body: AsyncIterator[bytes]) -> None:
        try:
            await self._events(body)
        finally:
            await aclose(body)
        if self.head.is_request and not self.is_answered:
            await self._fetch_rest()
            if not self.is_answered:
                await self._refused(BadUpstream(why="the stream ended without an answer"))

    async def _events(self, body: AsyncIterator[bytes]) -> None:
        splitter = SseSplitter(MAX_EVENT_BYTES)
        async for chunk in body:
            for event in splitter.feed(chunk):
                if event.id:
                    self._last_event = event.id
                if event.data:
                    await self.pass_on(event.data)
            if self.is_answered and self.head.is_request:
                await _rest(body)
                return

    async def _fetch_rest(self) -> None:
        """What a server keeps of a stream that it ended early."""
        conversation = self.conversation
        for _ in range(MAX_RESUMES):
            if self._last_event is None or self.is_answered:
                return
            await asyncio.sleep(RESUME_S)
            if conversation.terms.clock.monotonic() >= self.arrival.deadline_s:
                return
            reply = await conversation.terms.handler(conversation.stream_arrival(self._last_event))
            if isinstance(reply.body, bytes):
                return
            try:
                await self._events(reply.body)
            finally:
                await aclose(reply.body)

    async def pass_on(self, message: bytes) -> bool:
        """Write a server's message if it belongs here: the answer to this very request, once, or what is no answer."""
        conversation = self.conversation
        head = envelope.head_of(message)
        if not head.method:
            if self.is_answered or head.id is None or head.id != self.head.id:
                conversation.terms.dropped += 1
                return False
        elif self.is_answered or (head.id is not None and self.arrival.trail.era == "modern"):
            # A modern server asks nothing on a channel (2026-07-28, stdio, "Receiving Messages").
            conversation.terms.dropped += 1
            return False
        if not envelope.is_text(message):
            conversation.terms.dropped += 1
            return False
        carrier = conversation.carrier
        if carrier.is_write_paused:
            await carrier.writable()
        if not head.method:
            self.is_answered = True
            conversation.answered(self, message)
        conversation.last_s = conversation.terms.clock.monotonic()
        carrier.send(message)
        return True

    async def _refused(self, refusal: Refusal) -> None:
        conversation = self.conversation
        if conversation.carrier.is_write_paused:
            await conversation.carrier.writable()
        trail = self.arrival.trail
        if self.head.is_request and not self.is_answered:
            self.is_answered = True
            if trail.rpc_id is None:  # refused before the path has read it
                trail.rpc_id = envelope.raw(self.head.id)
            conversation.carrier.send(answer.rpc_error(refusal, trail))
        elif isinstance(refusal, _MALFORMED) and not self.is_answered:
            conversation.carrier.send(answer.rpc_error(refusal, trail))
        conversation.refused(refusal, self)


async def _rest(body: AsyncIterator[bytes]) -> None:
    # Read to its end, so that the connection behind it can be used again.
    try:
        async with asyncio.timeout(AFTER_ANSWER_S):
            async for _ in body:
                pass
    except TimeoutError:
        return
