"""The server's `subscriptions/listen`, one for all legacy streams of this process.

A stream each would take a connection each, and a node with a hundred connections to a server and a thousand idle
clients could not make a call. One is enough as long as the server sees the node's own credentials only; when callers'
identities are forwarded, there must be one for each caller.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any, Final, Protocol

from mantlet.core.call import Call
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Upstream
from mantlet.core.refusal import InvalidParams, Refusal
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_modern import calls
from mantlet.upstreams.bridge.to_modern.answers import MAX_EVENT_BYTES
from mantlet.wire.mcp.bridge import to_modern_events as events
from mantlet.wire.mcp.bridge import to_modern_result as results
from mantlet.wire.mcp.bridge.to_modern_handshake import Offers
from mantlet.wire.mcp.bridge.to_modern_request import meta_of
from mantlet.wire.sse import SseSplitter

OPEN_S: Final = 10.0
"""How long a server may take to acknowledge."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 5.0
"""A listen stream that the server ends sooner counts as a failure."""
UNSUPPORTED_PAUSE_S: Final = 300.0
"""Before a server without `subscriptions/listen` is asked again."""
DEAF_S: Final = 1.0
"""After a longer time without a listen stream, everything may have changed."""
MAX_URIS: Final = 2_000
"""Resources that one listen asks for, by all streams of this process together; who comes later is not told of more."""

_METHOD_NOT_FOUND: Final = -32601
_META: Final = meta_of({"name": "mantlet", "version": ""}, {})


class Ear(Protocol):
    """A legacy stream as the feed sees it."""

    caller: Caller
    wants: Offers
    uris: frozenset[str]

    def hear(self, message: bytes) -> None:
        """Take a message for its client. Must not raise."""
        ...


class _Listening:
    """One open listen stream and what it was asked for."""

    __slots__ = ("filter", "is_ready", "since_s", "source", "task")

    def __init__(self, source: AsyncIterator[bytes], wanted: dict[str, Any], now_s: float) -> None:
        self.since_s = now_s
        self.source = source
        self.filter = wanted
        self.task: asyncio.Task[None] | None = None
        self.is_ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Feed:
    """Listens while anybody has an ear here; opens anew, with growing pauses, when the server ends it."""

    def __init__(self, inner: Upstream, tasks: Tasks, clock: Clock, chance: Callable[[], float]) -> None:
        self._inner = inner
        self._tasks = tasks
        self._clock = clock
        self._chance = chance
        self._ears: dict[Ear, None] = {}
        self._wants = Offers.NOTHING
        self._uris: Counter[str] = Counter()
        self._template: Call | None = None
        self._current: _Listening | None = None
        self._change = asyncio.Event()
        self._asked = 0
        """Changes of the filter so far, and how many of them the server has acknowledged:"""
        self._acknowledged = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._deaf_since_s: float | None = None
        self._failures = 0
        self._must_pause = False
        self._is_unsupported = False

    def join(self, ear: Ear, call: Call) -> None:
        """Let `ear` hear from now on; `call` opened it."""
        self._ears[ear] = None
        self._wants |= ear.wants
        self._uris.update(ear.uris)
        self._template = call
        self._changed()

    def leave(self, ear: Ear) -> None:
        """Say nothing more to it."""
        if ear in self._ears:
            del self._ears[ear]
            self._forget(ear.uris)
            if not self._ears:
                self._wants = Offers.NOTHING
            self._changed()

    def resubscribe(self, ear: Ear, uris: frozenset[str]) -> None:
        """`ear` wants to hear of these resources instead."""
        if ear in self._ears and uris != ear.uris:
            self._uris.update(uris)
            self._forget(ear.uris)
            ear.uris = uris
            self._changed()

    def check_room(self, more: int) -> None:
        """Raise `InvalidParams` when so many more resources are too many."""
        if len(self._uris) + more > MAX_URIS:
            raise InvalidParams("Too many resources of this server are subscribed to.")

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the server has acknowledged what is asked for now; False when it does not."""
        if self._acknowledged >= self._asked or not self._ears:
            return True
        if self._is_unsupported:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._asked, waiter))
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiting = [entry for entry in self._waiting if entry[1] is not waiter]
        return True

    # --- keeping it open

    def _forget(self, uris: frozenset[str]) -> None:
        for uri in uris:
            self._uris[uri] -= 1
            if self._uris[uri] <= 0:
                del self._uris[uri]

    def _changed(self) -> None:
        self._asked += 1
        self._change.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = self._tasks.start(self._keep(), "to-modern feed")

    async def _keep(self) -> None:
        try:
            while await self._is_needed():
                if self._must_pause:
                    await self._pause()
                    continue
                self._change.clear()
                asked, wanted = self._asked, events.filter_of(self._wants, list(islice(self._uris, MAX_URIS)))
                current = self._current
                if not wanted or (current is not None and current.filter == wanted):
                    if not wanted and current is not None:
                        self._current = None
                        await self._close(current)
                    self._acknowledge(asked)
                    await self._change.wait()
                    continue
                opened = await self._open(wanted)
                if opened is None:
                    self._failed()
                    continue
                # The new one hears already: what comes now is heard twice rather than not at all.
                self._current = opened
                if current is not None:
                    await self._close(current)
                self._acknowledge(asked)
                self._catch_up()
        finally:
            current, self._current = self._current, None
            if current is not None:
                await self._close(current)

    async def _is_needed(self) -> bool:
        if not self._ears and self._current is not None:
            current, self._current = self._current, None
            await self._close(current)
        if not self._ears:
            self._acknowledge(self._asked)
        return bool(self._ears)  # nothing is awaited after this: who joins later starts another keeper

    def _failed(self) -> None:
        self._failures += 1
        self._must_pause = True

    async def _open(self, wanted: dict[str, Any]) -> _Listening | None:
        assert self._template is not None
        caller = next(iter(self._ears)).caller
        deadline_s = self._clock.monotonic() + OPEN_S
        template = calls.as_caller(self._template, caller)
        call = calls.own(template, events.LISTEN, {"notifications": wanted}, _META, deadline_s)
        self._is_unsupported = False
        listening: _Listening | None = None
        try:
            async with asyncio.timeout(OPEN_S):
                reply = await self._inner.send(call)
                if isinstance(reply.body, bytes):
                    self._is_unsupported = results.error_code(results.read(reply.body)) == _METHOD_NOT_FOUND
                    return None
                listening = _Listening(reply.body, wanted, self._clock.monotonic())
                listening.task = self._tasks.start(self._listen(listening), "to-modern listen")
                if await listening.is_ready:
                    ready, listening = listening, None
                    return ready
        except (Refusal, TimeoutError):
            pass
        finally:
            if listening is not None:
                await self._close(listening)
        return None

    async def _listen(self, listening: _Listening) -> None:
        splitter = SseSplitter(MAX_EVENT_BYTES)
        try:
            async for chunk in listening.source:
                for block in splitter.feed(chunk):
                    event = events.read(block.data) if block.data else None
                    if event is None:
                        continue
                    if event.method == events.ACKNOWLEDGED:
                        _tell(listening, True)
                    elif event.offer:
                        self._hear(event)
        except Refusal:
            pass  # it will be opened anew
        _tell(listening, False)
        if self._current is listening:
            self._current = None
            now_s = self._deaf_since_s = self._clock.monotonic()
            if now_s - listening.since_s >= STEADY_S:
                self._failures = 0
            else:
                self._failed()
            self._change.set()

    async def _close(self, listening: _Listening) -> None:
        if listening.task is not None:
            listening.task.cancel()
        await aclose(listening.source)

    async def _pause(self) -> None:
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10))
        if self._is_unsupported:
            pause_s = UNSUPPORTED_PAUSE_S
            self._acknowledge(self._asked)  # nothing more is to be waited for
        await asyncio.sleep(pause_s * (0.5 + self._chance()))
        self._must_pause = False

    def _acknowledge(self, asked: int) -> None:
        self._acknowledged = max(self._acknowledged, asked)
        for number, waiter in self._waiting:
            if number <= asked and not waiter.done():
                waiter.set_result(None)

    # --- hearing

    def _hear(self, event: events.Event) -> None:
        for ear in list(self._ears):
            if event.offer is Offers.UPDATES:
                if ear.uris and events.concerns(event.uri, ear.uris):
                    ear.hear(event.message)
            elif event.offer in ear.wants:
                ear.hear(event.message)

    def _catch_up(self) -> None:
        since_s, self._deaf_since_s = self._deaf_since_s, None
        if since_s is None or self._clock.monotonic() - since_s < DEAF_S:
            return
        for ear in list(self._ears):
            for message in events.missed(ear.wants, ear.uris):
                ear.hear(message)


def _tell(listening: _Listening, is_ready: bool) -> None:
    if not listening.is_ready.done():
        listening.is_ready.set_result(is_ready)
