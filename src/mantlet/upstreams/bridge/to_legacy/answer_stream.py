"""The event stream on which a legacy server answers one request, gone on with where it breaks off.

A server may hang up and go on with the stream when it is asked for the rest (2025-11-25, basic/transports,
"Resumability and Redelivery").
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, MethodNotAllowed, Refusal, SessionNotFound
from mantlet.core.stream import aclose
from mantlet.upstreams.bridge.to_legacy.session import Opened, Session
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 8_388_608
LINGER_S: Final = 1.0
"""How long a server may take to end its stream after the answer; its connection is worth keeping."""
MAX_RESUMED: Final = 5
"""Times in a row that a stream may break off without an event, and be asked for again."""
RESUME_S: Final = 0.5
"""Before that, unless the server names another pause."""
MAX_RESUME_S: Final = 10.0


class AnswerStream:
    """`hear` gets each message; once `is_over`, nothing more is wanted. Read in a task of its own."""

    def __init__(
        self,
        session: Session,
        opened: Opened,
        hear: Callable[[bytes], Awaitable[None]],
        is_over: Callable[[], bool],
    ) -> None:
        self._session = session
        self._opened = opened
        self._hear = hear
        self._is_over = is_over
        self._last_event = b""
        self._pause_s = RESUME_S

    async def read(self, reply: Reply) -> None:
        """Hear all that comes on `reply` and what is left of it elsewhere. Raises a `Refusal`."""
        known, tries = b"", 0
        while True:
            try:
                await self._events(reply)
            except BadUpstream:
                if not self._last_event:
                    raise
            last = self._last_event
            if self._is_over() or not last:
                return
            tries, known = (tries + 1, known) if last == known else (1, last)
            if tries > MAX_RESUMED:
                return
            await asyncio.sleep(self._pause_s)
            deadline_s = self._session.clock.monotonic() + MAX_RESUME_S
            try:
                reply = await self._session.listen(self._opened, deadline_s, last)
            except (MethodNotAllowed, SessionNotFound):
                return
            if isinstance(reply.body, bytes):
                return

    async def _events(self, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes)
        splitter = SseSplitter(MAX_EVENT_BYTES)
        try:
            async for chunk in reply.body:
                for event in splitter.feed(chunk):
                    if event.id is not None:
                        self._last_event = event.id
                    if b"retry:" in event.raw:
                        self._pause_s = pause_s(event.raw)
                    if event.data and not self._is_over():
                        await self._hear(event.data)
                if self._is_over():
                    await self._linger(reply)
                    break
        finally:
            await aclose(reply.body)

    async def _linger(self, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes)
        task = asyncio.current_task()
        assert task is not None
        # Nobody waits for this task any more, so to cancel it is all that is needed; a timeout would cost 8 us a call.
        timer = asyncio.get_running_loop().call_later(LINGER_S, task.cancel)
        try:
            async for _ in reply.body:
                pass
        except Refusal:
            pass  # the call has its answer; how the stream ends changes nothing
        finally:
            timer.cancel()


def pause_s(raw: bytes) -> float:
    """How long an event asks to wait before its stream is asked for again."""
    for line in raw.splitlines():
        name, _, value = line.partition(b":")
        if name == b"retry" and value.strip().isdigit():
            return min(int(value[:10]) / 1000, MAX_RESUME_S)
    return RESUME_S
