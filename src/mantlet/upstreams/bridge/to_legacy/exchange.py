"""One request under way at a legacy server: everything that comes for it, in the order in which its client gets it.

A task of its own reads, so that the server is heard, and its questions are noticed, also while no client is there: a
call that waits for input outlives the client's request that began it. Each such request is a leg of the call; whoever
serves it calls `next` until that gives an answer, or `leave` when the client has left.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, Refusal, SessionNotFound
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_legacy.answer_stream import AnswerStream
from mantlet.upstreams.bridge.to_legacy.leg import Answer, Item, Leg
from mantlet.upstreams.bridge.to_legacy.session import Opened, Session
from mantlet.wire.mcp.bridge import to_legacy_answers as answers
from mantlet.wire.mcp.bridge import to_legacy_inputs as inputs
from mantlet.wire.mcp.bridge import to_legacy_listen as listen
from mantlet.wire.mcp.bridge.to_legacy_requests import ROUND_TRIP, is_askable

MAX_QUEUED_BYTES: Final = 1_048_576
"""Notifications that the client has not taken yet; with more, nothing is read from the server."""
MAX_ASKED: Final = 32
"""Questions of one call that may wait at once."""

_DROPPED: Final = frozenset({"notifications/elicitation/complete", "notifications/tasks/status"})
"""Legacy notifications that modern clients do not know (changelog 2026-07-28)."""


class Exchange:
    """`hold` is asked for a `requestState` when the call must wait for input; it may refuse. `send_again` for one that
    stands for sending the request anew."""

    def __init__(
        self,
        session: Session,
        call: Call,
        leg: Leg,
        seal_context: Callable[[], bytes],
        tasks: Tasks,
        hold: "Callable[[Exchange], str]",
        send_again: Callable[[bytes], str],
    ) -> None:
        self.session = session
        self.method = call.method
        self._seal_context = seal_context
        self.id = session.next_id()
        self.token = session.token_for(leg.said.token) if leg.said.token else b""
        self.asked: dict[str, inputs.Asked] = {}
        self.is_askable = self.method in ROUND_TRIP and is_askable(leg.said.capabilities)
        """Whether the client can be asked for anything on this call."""
        self.is_streaming = False
        self.on_end: Callable[[], None] | None = None
        self._leg = leg
        self._tasks = tasks
        self._hold = hold
        self._send_again = send_again
        self._opened: Opened | None = None
        self._task: asyncio.Task[Any] | None = None
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._queued_bytes = 0
        self._final: bytes | answers.Error | Refusal | None = None
        self._is_over = False
        self._is_untold = False
        self._is_woken = False
        self._count = 0
        self._lacking: dict[str, Any] = {}
        self._context: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        session.users += 1
        session.exchanges[self.id] = self

    @property
    def context(self) -> bytes:
        """What a `requestState` of this call is sealed for; made when it is needed, which is seldom."""
        if self._context is None:
            self._context = self._seal_context()
        return self._context

    @property
    def _current(self) -> Opened | None:
        """The session as it was when the answer began to come; until then, as it is."""
        return self._opened or self.session.opened

    def begin(self, call: Call, body: bytes, deadline_s: float) -> None:
        """Send the request, and read what comes."""
        self._task = self._tasks.start(self._run(call, body, deadline_s), "bridge-call")

    async def go_on(self, opened: Opened, reply: Reply) -> None:
        """Read what comes on `reply`, the beginning of which has come. Raises `BadUpstream` for one that is none."""
        self._opened = opened
        if isinstance(reply.body, bytes):
            await self._whole(reply.body)
            return
        self.is_streaming = True
        self._task = self._tasks.start(self._reading(reply), "bridge-call")

    # --- the client's side

    async def next(self, until_s: float) -> Item | None:
        """See `Source`."""
        loop, monotonic = asyncio.get_running_loop(), self.session.clock.monotonic
        while True:
            if self._queue:
                if taken := self._taken():
                    return taken
                continue
            if self._final is not None:
                return self._answer(self._final)
            if self._is_untold:
                self._is_untold = False
                return Answer(200, self._asking(self.asked, self._hold(self)))
            left_s = until_s - monotonic()
            if self._is_woken or left_s <= 0:
                self._is_woken = False
                return None
            self._waiter = loop.create_future()
            timer = loop.call_later(left_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None

    def at_once(self) -> Answer | None:
        """The answer, where it came whole and with nothing before it; the usual case. Raises a `Refusal`."""
        return None if self._final is None or self._queue else self._answer(self._final)

    def leave(self) -> None:
        """Nobody waits any more: tell the server, and hang up."""
        if self._task is not None:
            self._task.cancel()
        if not self._is_over:
            self._finish()
            if (opened := self._current) is not None:
                self.session.cancelled(opened, self.id, "the client has left")

    def check(self, responses: inputs.Responses) -> None:
        """Raise `InvalidParams` for a response that is none; what was not asked is passed over."""
        for key, response in responses.items():
            if (asked := self.asked.get(key)) is not None:
                inputs.check(key, asked, response)

    async def resume(self, leg: Leg, responses: inputs.Responses) -> None:
        """Go on for another request of the client, with its answers. Raises a `Refusal` when they cannot be brought."""
        self._leg = leg
        for key, response in responses.items():
            asked = self.asked.pop(key, None)
            opened = self._current
            if asked is not None and opened is not None:
                try:
                    await self.session.answer(opened, inputs.answered(asked.raw_id, response))
                except SessionNotFound as error:
                    raise BadUpstream(why="it has lost the session of the call that waited") from error
        self._is_untold = bool(self.asked)  # what was left out is asked for again

    def _taken(self) -> bytes:
        message, is_progress = self._queue.popleft()
        self._queued_bytes -= len(message)
        if self._room is not None and not self._room.done() and self._queued_bytes <= MAX_QUEUED_BYTES:
            self._room.set_result(None)
        if is_progress and (token := self._leg.said.token) != self.token:
            # Under the token of whom it is given to: what came while nobody was there is for the next.
            return answers.with_token(message, token) if token else b""
        return message

    def _answer(self, final: bytes | answers.Error | Refusal) -> Answer:
        raw_id = self._leg.raw_id
        if isinstance(final, Refusal):
            raise final
        assert self._opened is not None  # somebody has answered
        if isinstance(final, answers.Error):
            if final.code == answers.URL_ELICITATION_REQUIRED:
                return self._must_visit(final)
            if self._lacking:
                return Answer(*answers.lacking(raw_id, self._lacking))
            return Answer(*answers.failed(raw_id, final))
        if self._lacking and self.method == "tools/call" and answers.is_failure(final):
            return Answer(*answers.lacking(raw_id, self._lacking))
        return Answer(200, answers.complete(raw_id, final, self.method, self._opened.server_info))

    def _must_visit(self, error: answers.Error) -> Answer:
        pages = inputs.url_elicitations(error)
        if not pages or self.method not in ROUND_TRIP:
            return Answer(*answers.failed(self._leg.raw_id, error))
        if lack := inputs.lacking(pages[0], self._leg.said.capabilities):
            return Answer(*answers.lacking(self._leg.raw_id, lack))
        asked = {f"url-{number}": page for number, page in enumerate(pages, 1)}
        return Answer(200, self._asking(asked, self._send_again(self.context)))

    def _asking(self, asked: dict[str, inputs.Asked], state: str) -> bytes:
        meta = {} if (opened := self._current) is None else opened.meta
        return inputs.required(self._leg.raw_id, asked, state, meta)

    # --- the server's side

    async def hear(self, message: answers.Message, data: bytes) -> None:
        """A message for this call, wherever it came."""
        raw_id = answers.identity_of(message)
        if not isinstance(message.method, str):
            if raw_id == b"%d" % self.id:
                self._answered(message)
        elif raw_id is not None:
            await self._question(raw_id, message.method, message.params)
        elif isinstance(message.id, msgspec.UnsetType):
            await self._notification(message.method, message.params, data)

    async def _run(self, call: Call, body: bytes, deadline_s: float) -> None:
        try:
            self._opened, reply = await self.session.send(
                call, body, self.id, self.token, self._leg.said.level, deadline_s
            )
        except Refusal as refusal:
            self._end(refusal)
        except BaseException as error:  # the root of a task: whoever waits must hear of it, also when the node closes
            self._end(BadUpstream(why=type(error).__name__))
            raise
        else:
            await self._reading(reply)

    async def _reading(self, reply: Reply) -> None:
        try:
            if isinstance(reply.body, bytes):
                await self._whole(reply.body)
            else:
                if not self.is_streaming:
                    self.is_streaming = self._is_woken = True
                    self._wake()
                assert self._opened is not None
                await AnswerStream(self.session, self._opened, self._message, lambda: self._is_over).read(reply)
        except Refusal as refusal:
            self._end(refusal)
        except BaseException as error:  # the root of a task: whoever waits must hear of it, also when the node closes
            self._end(BadUpstream(why=type(error).__name__))
            raise
        self._end(BadUpstream(why="the stream ended without an answer"))

    async def _message(self, data: bytes) -> None:
        message = answers.read(data)
        if message is not None:
            await self.hear(message, data)

    async def _whole(self, data: bytes) -> None:
        message = answers.read(data)
        if message is None:
            raise BadUpstream(why="its answer is no JSON-RPC message")
        if not isinstance(message.error, msgspec.UnsetType):
            self._answered(message)  # also one without an id: it did not get that far
        else:
            await self.hear(message, data)
        if not self._is_over:
            raise BadUpstream(why="its answer is for another request")

    def _answered(self, message: answers.Message) -> None:
        if not isinstance(message.result, msgspec.UnsetType):
            self._end(bytes(message.result))
        elif not isinstance(message.error, msgspec.UnsetType):
            self._end(answers.read_error(bytes(message.error)))

    async def _notification(self, method: str, params: msgspec.Raw | msgspec.UnsetType, data: bytes) -> None:
        said = b"{}" if isinstance(params, msgspec.UnsetType) else bytes(params)
        if method == "notifications/progress":
            if not self.token or answers.token_of(said) != self.token:
                return
        elif method == "notifications/message":
            if not 0 <= self._leg.said.level <= answers.level_of(said):
                return
        elif method == "notifications/cancelled":
            self._withdrawn(said)
            return
        elif method in listen.CHANGED or method == listen.UPDATED:
            self.session.changed(method, said, data)
            return
        elif method in _DROPPED:
            return
        while self._queued_bytes > MAX_QUEUED_BYTES:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self._queue.append((data, method == "notifications/progress"))
        self._queued_bytes += len(data)
        self._wake()

    async def _question(self, raw_id: bytes, method: str, params: msgspec.Raw | msgspec.UnsetType) -> None:
        body = inputs.answer_to(raw_id, method)
        if body is None:
            asked = inputs.read(raw_id, method, params)
            said = self._leg.said.capabilities
            if lack := inputs.lacking(asked, said):
                if self.method in ROUND_TRIP:
                    self._lacking |= lack
                body = inputs.refused(asked, said)
            elif self.method not in ROUND_TRIP:
                body = inputs.failed(raw_id, inputs.METHOD_NOT_FOUND, "Nothing can be asked during this request.")
            elif len(self.asked) >= MAX_ASKED:
                body = inputs.failed(raw_id, inputs.INTERNAL_ERROR, "Too much is asked at once.")
            else:
                self._count += 1
                self.asked[f"{asked.method.partition('/')[0]}-{self._count}"] = asked
                self._is_untold = True
                self._wake()
                return
        if (opened := self._current) is not None:
            with suppress(Refusal):  # it asked, and did not wait for the answer
                await self.session.answer(opened, body)

    def _withdrawn(self, params: bytes) -> None:
        raw_id = inputs.withdrawn(params)
        for key, asked in list(self.asked.items()):
            if asked.raw_id == raw_id:
                del self.asked[key]
        if not self.asked:
            self._is_untold = False

    def _end(self, final: bytes | answers.Error | Refusal) -> None:
        if not self._is_over:
            self._final = final
            self._finish()
            self._wake()

    def _finish(self) -> None:
        self._is_over = True
        self.asked.clear()
        self._is_untold = False
        self.session.exchanges.pop(self.id, None)
        self.session.tokens.discard(self.token)
        if self.on_end is not None:
            self.on_end()
        self.session.leave()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
