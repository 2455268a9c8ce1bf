"""The stream on which a legacy server speaks unasked, opened on behalf of a client that has no way to."""

import asyncio
from typing import TYPE_CHECKING, Final

from mantlet.core.refusal import RateLimited, Refusal, Unavailable
from mantlet.core.stream import aclose
from mantlet.listeners.messages.envelope import Head
from mantlet.listeners.messages.exchange import MAX_EVENT_BYTES, Exchange
from mantlet.wire.sse import SseSplitter

if TYPE_CHECKING:
    from mantlet.listeners.messages.conversation import Conversation

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
"""Between a stream's end and the next try; it grows while tries fail."""


class SessionStream:
    """Kept open, with pauses that grow, until the session ends or the server says that it offers none."""

    def __init__(self, conversation: "Conversation") -> None:
        self._conversation = conversation
        self._task: asyncio.Task[None] | None = None
        self._last_event: bytes | None = None

    def start(self) -> None:
        """Listen."""
        self._task = self._conversation.terms.tasks.start(self._run(), "session stream", tells_itself=True)

    def stop(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        try:
            while True:
                try:
                    if not await self._listen():
                        return
                    wait_s = FIRST_WAIT_S
                except (RateLimited, Unavailable):
                    wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                except Refusal:
                    return  # no such session, no such stream, not for this caller
                await asyncio.sleep(wait_s)
        except Exception as error:  # a task root
            self._conversation.terms.on_error(error, None)

    async def _listen(self) -> bool:
        """Pass on what comes until the stream ends; False when there is none to be had."""
        conversation = self._conversation
        arrival = conversation.stream_arrival(self._last_event)
        reply = await conversation.terms.handler(arrival)
        body = reply.body
        if isinstance(body, bytes):
            return False
        try:
            if reply.status != 200:
                return False
            passed = Exchange(conversation, Head(), arrival)
            splitter = SseSplitter(MAX_EVENT_BYTES)
            async for chunk in body:
                for event in splitter.feed(chunk):
                    if event.id:
                        self._last_event = event.id
                    if event.data:
                        await passed.pass_on(event.data)
        finally:
            await aclose(body)
        return True
