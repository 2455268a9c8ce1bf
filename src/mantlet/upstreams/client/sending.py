"""The body of a request on its way to the server, while its answer may already be coming back."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.call import Incoming
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.upstreams.client.relay import Start

_LAST_CHUNK: Final = b"0\r\n\r\n"


class Sending:
    """What follows a head, as it comes and no faster than the server takes it.

    Owned by the exchange that it is part of: stopped when the answer is over, or the connection. What stops the body
    stops the request: `fail` is told.
    """

    __slots__ = ("_body", "_can_write", "_fail", "_is_paused", "_task", "_transport", "is_complete")

    def __init__(
        self,
        start: Start,
        body: Incoming,
        transport: asyncio.WriteTransport,
        fail: Callable[[Exception], None],
        *,
        is_paused: bool,
    ) -> None:
        self._body, self._transport, self._fail = body, transport, fail
        self._is_paused = is_paused
        self._can_write: asyncio.Future[None] | None = None
        self.is_complete = False
        """Whether all of it is written: only then is the connection good for another request."""
        self._task = start(self._send(), "http request body")

    def stop(self) -> None:
        """Send no more of it."""
        self._task.cancel()

    def pause(self) -> None:
        """The server does not keep up."""
        self._is_paused = True

    def resume(self) -> None:
        """It does again."""
        self._is_paused = False
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)

    async def _send(self) -> None:
        body, transport = self._body, self._transport
        is_chunked = body.length is None
        left = body.length or 0
        try:
            while part := await body.part():
                if transport.is_closing():
                    return
                left -= len(part)
                # Before the write: its answer may be here before this task goes on.
                self.is_complete = left == 0
                transport.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
                if self._is_paused:
                    self._can_write = asyncio.get_running_loop().create_future()
                    await self._can_write
            self.is_complete = True
            if is_chunked:
                transport.write(_LAST_CHUNK)
        except Exception as error:  # the root of a task
            self._fail(error if isinstance(error, Refusal) else BadUpstream(why=f"its body broke off: {error!r}"))
