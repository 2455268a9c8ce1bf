"""One request of a legacy client, from its modern form to its legacy answer.

Usually one call and one answer, and then nothing here outlives them. When the server streams, or wants to know
something of the client, a task carries the exchange on behind the client's own event stream.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.ports import Upstream
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, NotAcceptable, Refusal
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern import calls
from mantlet.upstreams.bridge.to_modern.answers import MAX_EVENT_BYTES, whole
from mantlet.upstreams.bridge.to_modern.held import Held, Round
from mantlet.upstreams.bridge.to_modern.in_flight import Handle, InFlight
from mantlet.upstreams.bridge.to_modern.session import Standing
from mantlet.upstreams.bridge.to_modern.tools import Tools
from mantlet.wire import answer, jsonrpc
from mantlet.wire.event_stream import HEADERS, EventStream
from mantlet.wire.mcp.bridge import to_modern_inputs as inputs
from mantlet.wire.mcp.bridge import to_modern_result as results
from mantlet.wire.mcp.bridge.to_modern_inputs import Raw
from mantlet.wire.mcp.bridge.to_modern_result import InputRequired
from mantlet.wire.sse import SseSplitter

MAX_ROUNDS: Final = 10
"""Rounds of one call; the SDKs give up at the same number."""
MAX_LIST_PAGES: Final = 20
PAUSES_S: Final = (0.05, 0.1, 0.2, 0.25)
"""Before a retry that the server wants without asking anything; the last one repeats."""
LINGER_S: Final = 1.0
"""How long a server may take to end a stream after its answer."""
CANCELLED: Final = 4499
"""The code for a client that still waits for what it cancelled."""


class Told(Exception):
    """The answer to the call is this JSON-RPC error object."""

    def __init__(self, error: bytes) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Parts:
    """What all exchanges with one server share."""

    inner: Upstream
    config: BridgeConfig
    clock: Clock
    tools: Tools
    held: Held
    in_flight: InFlight
    tasks: Tasks
    on_error: Callable[[BaseException], None]


def accepts_stream(call: Call) -> bool:
    """Whether the client takes an event stream; one that says nothing, or came by no HTTP, does."""
    accept = call.arrival.headers.get(b"accept")
    return accept is None or b"text/event-stream" in accept.lower() or b"*/*" in accept


class Exchange:
    """For one request; `run` gives its reply."""

    def __init__(self, parts: Parts, call: Call, standing: Standing) -> None:
        self._parts = parts
        self._call = call
        self._session, self._meta = standing
        self._budget_s = call.deadline_s - parts.clock.monotonic()
        self._is_answered = False
        self._source: AsyncIterator[bytes] | None = None
        self._round: Round | None = None

    async def run(self) -> Reply:
        """The reply. Raises what the upstream's `send` raises, and `NotAcceptable`."""
        call, in_flight = self._call, self._parts.in_flight
        assert call.id is not None
        handle = in_flight.add(self._session, call.id)
        is_carried_on = False
        try:
            reply = await self._first()
            outcome: InputRequired | None = None
            if isinstance(reply.body, bytes):
                answered = self._translated(reply.body)
                if isinstance(answered, bytes):
                    return Reply(200, [JSON], answered)
                outcome = answered
            if not accepts_stream(call):
                await aclose(reply.body)
                raise NotAcceptable("The answer to this is an event stream; the client must accept text/event-stream.")
            is_carried_on = True
            return self._carried_on(handle, reply, outcome)
        except asyncio.CancelledError:
            if handle.was_it():
                return Reply(200, [JSON], jsonrpc.error(call.id, CANCELLED, "Request cancelled"))
            raise
        finally:
            if not is_carried_on:
                in_flight.remove(handle)

    # --- calls upstream

    async def _first(self) -> Reply:
        call, tools, send = self._call, self._parts.tools, self._parts.inner.send
        if call.method != "tools/call":
            reply = await send(calls.translated(call, self._meta, {}))
            if call.method == "tools/list" and isinstance(reply.body, bytes):
                tools.learn(reply.body)
            return reply
        paths = tools.paths(call.target)
        reply = await send(calls.translated(call, self._meta, paths))
        if reply.status == 200 or not self._is_mismatch(reply):
            return reply
        # The tool mirrors arguments in headers, and nobody has listed it here yet.
        await self._learn()
        if (learnt := tools.paths(call.target)) == paths:
            return reply
        return await send(calls.translated(call, self._meta, learnt))

    def _is_mismatch(self, reply: Reply) -> bool:
        return isinstance(reply.body, bytes) and results.error_code(results.read(reply.body)) == results.HEADER_MISMATCH

    async def _learn(self) -> None:
        cursor: str | None = None
        for _ in range(MAX_LIST_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            ask = calls.own(self._call, "tools/list", params, self._meta, self._call.deadline_s)
            cursor = self._parts.tools.learn(await whole(await self._parts.inner.send(ask)))
            if cursor is None:
                return

    async def _again(self, number: int, more: dict[str, bytes]) -> Reply:
        deadline_s = self._parts.clock.monotonic() + self._budget_s
        paths = self._parts.tools.paths(self._call.target)
        return await self._parts.inner.send(calls.retried(self._call, self._meta, paths, number, more, deadline_s))

    # --- behind an event stream

    def _carried_on(self, handle: Handle, reply: Reply, outcome: InputRequired | None) -> Reply:
        stream = EventStream()
        if not isinstance(reply.body, bytes):
            self._source = reply.body
        task = self._parts.tasks.start(self._drive(stream, outcome), f"to-modern {self._call.method}")
        handle.task = task
        stream.on_close = partial(self._left, task)
        # Not a `finally` in the task: one that is cancelled before its first step never comes there.
        task.add_done_callback(partial(self._done, handle, stream))
        return Reply(200, list(HEADERS), stream)

    def _left(self, task: "asyncio.Task[None]") -> None:
        if not self._is_answered:
            task.cancel()

    def _done(self, handle: Handle, stream: EventStream, task: "asyncio.Task[None]") -> None:
        self._parts.in_flight.remove(handle)
        if self._round is not None:
            self._parts.held.close(self._round)
        if self._source is not None:
            self._parts.tasks.start(aclose(self._source), "to-modern close")
        if not self._is_answered:
            self._is_answered = True
            code, said = (CANCELLED, "Request cancelled") if task.cancelled() else (-32603, "Internal error")
            stream.end(jsonrpc.error(self._call.id, code, said))

    async def _drive(self, stream: EventStream, outcome: InputRequired | None) -> None:
        try:
            final = await self._answer(stream, outcome)
        except Told as told:
            final = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (self._call.id or b"null", told.error)
        except Refusal as refusal:
            final = self._refused(refusal)
        except Exception as error:  # a task root: the client still gets an end
            self._parts.on_error(error)
            final = self._refused(Refusal())
        self._is_answered = True
        stream.end(final)
        await self._let_end()

    async def _answer(self, stream: EventStream, outcome: InputRequired | None) -> bytes:
        number = pauses = 0
        while True:
            arrived: bytes | InputRequired = await self._events(stream) if outcome is None else outcome
            if isinstance(arrived, bytes):
                return arrived
            await self._let_end()
            number += 1
            if number > MAX_ROUNDS:
                raise BadUpstream("The server asked for input too often.", why=f"more than {MAX_ROUNDS} rounds")
            answers: dict[str, Raw] = {}
            if arrived.requests:
                answers = await self._asked(stream, arrived)
            else:
                await asyncio.sleep(PAUSES_S[min(pauses, len(PAUSES_S) - 1)])
                pauses += 1
            reply = await self._again(number, inputs.retry_members(answers, arrived.state))
            outcome = None
            if isinstance(reply.body, bytes):
                again = self._translated(reply.body)
                if isinstance(again, bytes):
                    return again
                outcome = again
            else:
                self._source = reply.body

    async def _events(self, stream: EventStream) -> bytes | InputRequired:
        """Pass on what the server says of the call until it answers."""
        assert self._source is not None
        splitter = SseSplitter(MAX_EVENT_BYTES)
        async for chunk in self._source:
            for event in splitter.feed(chunk):
                if not event.data:
                    continue  # a comment that keeps its stream alive; ours has its own
                message = results.read(event.data)
                if message.method is msgspec.UNSET:
                    return self._translated(event.data)
                if message.id is msgspec.UNSET:
                    await stream.room()
                    stream.push(event.data)
        raise BadUpstream(why="the stream ended without an answer")

    async def _let_end(self) -> None:
        """Read a stream whose answer has come to its end, so that its connection can be used again."""
        if self._source is None:
            return
        try:
            async with asyncio.timeout(LINGER_S):
                async for _ in self._source:
                    pass
        except (Refusal, TimeoutError):
            pass  # how it ends changes nothing
        await aclose(self._source)
        self._source = None

    async def _asked(self, stream: EventStream, wanted: InputRequired) -> dict[str, Raw]:
        """What the client answers to a round; raises `Told` when it does not."""
        asked = inputs.questions(wanted.requests)
        if lacking := inputs.missing(asked, self._session.capabilities):
            message = "The server needs something of the client that it did not declare: " + ", ".join(lacking)
            data = {"requiredCapabilities": lacking}
            raise Told(jsonrpc.encode({"code": inputs.MISSING_CAPABILITY, "message": message, "data": data}))
        held = self._parts.held
        made = self._round = held.open(self._session, self._call.caller.key, asked)
        reason = "No longer needed"
        try:
            for token, question in made.left.items():
                await stream.room()
                if not stream.push(inputs.request(question, held.identity(token))):
                    raise BadUpstream(why="what it asks the client is too large")
            async with asyncio.timeout(self._parts.config.input_timeout):
                await made.done
        except TimeoutError as error:
            reason = "Not answered in time"
            raise DeadlineExceeded("The client did not give the input that the server asked for in time.") from error
        finally:
            for token in made.left:
                stream.push(inputs.withdrawn(held.identity(token), reason))
            held.close(made)
            self._round = None
        if made.error is not None:
            raise Told(bytes(made.error))
        return made.answers

    # --- answers

    def _translated(self, message: bytes) -> bytes | InputRequired:
        call = self._call
        if call.method == "tools/list" and self._source is not None:
            self._parts.tools.learn(message)
        answer = results.read(message)
        if call.hints is not None:
            call.hints.ttl_ms, call.hints.is_public = results.hints(answer)
        return results.translated(answer, call.method, call.id or b"null")

    def _refused(self, refusal: Refusal) -> bytes:
        data = {**(refusal.data or {}), "reason": refusal.reason, "request_id": self._call.trail.request_id}
        return jsonrpc.error(self._call.id, answer.code_of(refusal), refusal.detail, data)
