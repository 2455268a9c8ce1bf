"""A session's own stream, and those who listen to it.

It is kept while somebody needs it: subscriptions, and calls of clients that can be asked, because some servers ask
there and not on the stream of the call. What breaks off is opened again, slower each time.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from mantlet.core.call import Reply
from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    Refusal,
    SessionNotFound,
)
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_legacy.places import Places
from mantlet.upstreams.bridge.to_legacy.session import Opened, Session
from mantlet.upstreams.bridge.to_legacy.subscriptions import Subscriptions
from mantlet.upstreams.room import Room
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp.bridge import to_legacy_answers as answers
from mantlet.wire.mcp.bridge import to_legacy_inputs as inputs
from mantlet.wire.mcp.bridge import to_legacy_listen as listen
from mantlet.wire.sse import SseSplitter

HEAD_S: Final = 10.0
"""How long a server may take to begin its stream."""
ASKING_WAIT_S: Final = 1.0
"""How long a call waits for the stream on which it may be asked something; then it goes without."""
LINGER_S: Final = 30.0
"""How long the stream is kept after the last who needed it."""
MIN_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
MAX_FAILURES: Final = 3
"""Attempts in a row after which those who wait are told: a server may be slow to see that the last stream has ended."""
MAX_EVENT_BYTES: Final = 8_388_608


@dataclass(eq=False, slots=True)
class Listener:
    """One subscription."""

    raw_id: bytes
    honoured: listen.Wanted
    stream: EventStream


class Feed:
    """The stream of `session`. `asking` is the room for those that are open only for questions."""

    def __init__(self, session: Session, places: Places, asking: Room, tasks: Tasks) -> None:
        self._session = session
        self._places = places
        self._asking = asking
        self._tasks = tasks
        self._listeners: set[Listener] = set()
        self._subscriptions = Subscriptions(session)
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[bool]] = set()
        self._is_open = False
        self._is_failing = False
        self._is_asking_room_taken = False
        self._without: Opened | None = None
        """The session for which the server said that it has no such stream."""

    # --- those who need it

    async def begin(self, raw_id: bytes, asked: listen.Wanted, deadline_s: float) -> EventStream:
        """Begin a subscription: its acknowledgement is the first event. Raises a `Refusal`."""
        if not self._places.open_stream():
            raise Overloaded(why="too many streams are open (mcp.bridge.max_streams)")
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._session.clock.monotonic())):
                honoured = await self._honoured(asked, deadline_s)
        except BaseException as error:
            self._places.close_stream()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("The server did not take the subscription in time.") from error
            raise
        listener = Listener(raw_id, honoured, EventStream())
        listener.stream.on_close = partial(self._left, listener)
        self._listeners.add(listener)
        listener.stream.push(listen.acknowledged(raw_id, honoured))
        return listener.stream

    async def expect_questions(self) -> bool:
        """A call begins that may be asked something: have the stream open, if there is one and room for it.

        True: `expect_no_questions` is to be called when that call has ended.
        """
        if self._is_missing:
            return False
        if self._task is None:
            if not self._asking.take():
                return False
            self._is_asking_room_taken = True
        self._use()
        if not self._is_open and not self._is_failing:
            try:
                await self._opened(self._session.clock.monotonic() + ASKING_WAIT_S)
            except Refusal:
                # The call itself will tell what is wrong with the server; the next is not held up.
                self._is_failing = True
            except BaseException:
                self._unuse()
                raise
        return True

    def expect_no_questions(self) -> None:
        """That call has ended."""
        self._unuse()

    def close(self) -> None:
        """End every subscription, with the word that it ended."""
        for listener in list(self._listeners):
            listener.stream.end(listen.ended(listener.raw_id))
        self._stop()

    # --- what comes

    def changed(self, method: str, params: bytes, data: bytes) -> None:
        """Tell those who subscribed to it."""
        if not self._listeners:
            return
        uri = listen.uri_of(params) if method == listen.UPDATED else ""
        for listener in list(self._listeners):
            if not listen.belongs(listener.honoured, method, uri):
                continue
            message = listen.tagged(data, listener.raw_id)
            if message and not listener.stream.push(message):
                # A subscription with gaps would lie; ended, its client begins another and reads anew.
                listener.stream.end()

    async def _honoured(self, asked: listen.Wanted, deadline_s: float) -> listen.Wanted:
        opened = await self._session.open(deadline_s)
        honoured = listen.offered(asked, opened.capabilities)
        self._use()
        self._session.users += 1
        try:
            if not (honoured.changes or honoured.uris) or not await self._is_there(deadline_s):
                return listen.Wanted(frozenset(), ())
            return honoured._replace(uris=await self._subscriptions.add(honoured.uris, deadline_s))
        except BaseException:
            self._session.leave()
            self._unuse()
            raise

    async def _is_there(self, deadline_s: float) -> bool:
        try:
            return await self._opened(deadline_s)
        except (BadUpstream, InvalidRequest):
            return False  # it answers, and not as one that has such a stream

    def _left(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._places.close_stream()
        self._session.leave()
        gone = self._subscriptions.drop(listener.honoured.uris)
        opened = self._session.opened
        if gone and opened is not None:
            self._tasks.start(self._subscriptions.take_back(opened, gone), "bridge-unsubscribe")
        self._unuse()

    # --- the stream

    @property
    def _is_missing(self) -> bool:
        return self._without is not None and self._without is self._session.opened

    def _use(self) -> None:
        self._users += 1
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._task is None and not self._is_missing:
            self._task = self._tasks.start(self._run(), "bridge-feed")

    def _unuse(self) -> None:
        self._users -= 1
        if self._users == 0 and not self._is_open:
            self._stop()
        elif self._users == 0 and self._task is not None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._stop)

    def _stop(self) -> None:
        task, self._task = self._task, None
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._is_asking_room_taken:
            self._is_asking_room_taken = False
            self._asking.give_back()
        self._is_open = False
        self._tell(False)
        if task is not None:
            task.cancel()

    async def _opened(self, until_s: float) -> bool:
        """Whether the stream is open, as soon as that is known. Raises why it cannot be known."""
        if self._is_open or self._is_missing:
            return self._is_open
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(max(0.0, until_s - self._session.clock.monotonic()), _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def _tell(self, outcome: bool | Refusal) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Refusal):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

    async def _run(self) -> None:
        try:
            await self._keep_open()
        except Exception:  # the root of a task: who waits must hear of it, and the next may try again
            self._tell(BadUpstream(why="the session's stream broke off"))
            raise
        finally:
            if self._task is asyncio.current_task():
                self._task = None
                self._stop()

    async def _keep_open(self) -> None:
        monotonic = self._session.clock.monotonic
        pause_s, failures = MIN_PAUSE_S, 0
        while True:
            opened: Opened | None = None
            try:
                opened = await self._session.open(monotonic() + HEAD_S)
                await self._subscriptions.renew(opened)
                reply = await self._session.listen(opened, monotonic() + HEAD_S)
                if isinstance(reply.body, bytes):
                    raise MethodNotAllowed("POST")
                self._is_open, self._is_failing = True, False
                self._tell(True)
                failures, began_s = 0, monotonic()
                await self._read(opened, reply)
                if monotonic() - began_s > MAX_PAUSE_S:
                    pause_s = MIN_PAUSE_S  # not for one that ends as soon as it has begun
            except MethodNotAllowed:
                self._without = opened
                return
            except SessionNotFound:
                if opened is not None:
                    self._session.forget(opened)
            except Refusal as refusal:
                failures += 1
                if failures >= MAX_FAILURES:
                    self._is_failing = True
                    self._tell(refusal)
            finally:
                self._is_open = False
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)

    async def _read(self, opened: Opened, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes)
        splitter = SseSplitter(MAX_EVENT_BYTES)
        try:
            async for chunk in reply.body:
                for event in splitter.feed(chunk):
                    if event.data and (message := answers.read(event.data)) is not None:
                        await self._heard(opened, message, event.data)
        finally:
            await aclose(reply.body)

    async def _heard(self, opened: Opened, message: answers.Message, data: bytes) -> None:
        if not isinstance(message.method, str):
            return
        raw_id = answers.identity_of(message)
        if raw_id is None:
            params = b"{}" if isinstance(message.params, msgspec.UnsetType) else bytes(message.params)
            if message.method in listen.CHANGED or message.method == listen.UPDATED:
                self.changed(message.method, params, data)
            return  # progress and log messages belong on their call's own stream, and have come too late for it
        body = inputs.answer_to(raw_id, message.method)
        if body is None:
            # What is asked here is asked for some call of the session: with one under way, for that one.
            askable = [exchange for exchange in self._session.exchanges.values() if exchange.is_askable]
            if len(askable) == 1:
                await askable[0].hear(message, data)
                return
            body = inputs.failed(raw_id, inputs.INTERNAL_ERROR, "It cannot be told which call this is for.")
        with suppress(Refusal):
            await self._session.answer(opened, body)


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded(why="the server did not begin its stream in time"))
