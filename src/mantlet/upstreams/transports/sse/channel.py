"""An event stream and a postbox joined to a channel of messages."""

import asyncio
from collections.abc import Iterable

from mantlet.core.refusal import Refusal, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.client import BodyStream
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.envelope import one_line
from mantlet.upstreams.transports.sse import endpoint
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.postbox import Postbox
from mantlet.wire.sse import Event, SseSplitter


class SseChannel:
    """An `OwnedChannel`, once `open` has come back. It lives as long as its stream."""

    pid: int | None = None
    exit_code: int | None = None
    last_lines: Iterable[str] = ()

    def __init__(self, config: SseServerConfig, reader: LineReader, stream: BodyStream, postbox: Postbox) -> None:
        self._config = config
        self._reader = reader
        self._stream = stream
        self._postbox = postbox
        postbox.on_failure = self._close
        postbox.on_refused = reader.on_line
        self._tasks = Tasks(lambda error: self._close(f"reading failed: {error!r}"))
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._why = ""

    def account(self) -> str:
        """Which it was; how it ended has been said already."""
        return self._config.url.partition("?")[0]

    async def open(self) -> None:
        """Read until the server has said where to post. Raises `UpstreamUnavailable`."""
        self._tasks.start(self._read(), "sse.stream")
        await self._opened

    def write_line(self, line: bytes) -> bool:
        """As `LineChannel` says; the line end is not sent."""
        return not self._why and self._postbox.put(line.removesuffix(b"\n"))

    async def stop(self, timeout_s: float) -> None:
        """Hang up: the end of the stream is the end of the session."""
        self._close("stopped")
        try:
            async with asyncio.timeout(timeout_s):
                await self._postbox.close()
                await self._tasks.close()
        except TimeoutError:
            pass  # all is cancelled, and the connections are closed below or with their client
        finally:
            await self._stream.aclose()

    async def _read(self) -> None:
        splitter = SseSplitter(self._config.max_line_bytes)
        why = "the reading broke off"
        try:
            async for chunk in self._stream:
                for event in splitter.feed(chunk):
                    self._event(event)
            why = "the server ended the event stream"
        except Refusal as refusal:
            why = refusal.why
        finally:
            self._close(why)
            await self._stream.aclose()

    def _event(self, event: Event) -> None:
        if not event.data or self._why:
            return
        if self._opened.done():
            self._reader.on_line(one_line(event.data))
        elif endpoint.is_endpoint(event):
            try:
                self._postbox.open(endpoint.target(event, self._config.url, self._postbox.endpoint))
            except ValueError as error:
                raise UpstreamUnavailable(why=str(error)) from error
            self._opened.set_result(None)

    def _close(self, why: str) -> None:
        if self._why:
            return
        self._why = why
        if not self._opened.done():
            self._opened.set_exception(UpstreamUnavailable(why=why))
            self._opened.exception()  # nobody may wait any more
        else:
            self._reader.on_closed(why)
