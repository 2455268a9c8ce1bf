"""The application behind: takes an admitted call, gives its answer as a `Reply`."""

import asyncio
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.tasks import Tasks
from mantlet.embed.gateway.asgi import Application, Message, Scope
from mantlet.embed.gateway.request import Request

CALLER: Final = "mantlet.caller"
"""Where the application finds who calls, in its scope: a `mantlet.core.caller.Caller`."""

_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"dpop"})


def scope_for(request: Request, caller: Caller) -> Scope:
    """What the application is called with: who calls, and not the credential by which that was found out."""
    headers = [field for field in request.scope["headers"] if field[0].lower() not in _CREDENTIALS]
    return {**request.scope, "headers": headers, CALLER: caller}


class Behind:
    """`core.policy.CallHandler`: the end of the way in. The application's work ends with its caller's interest."""

    def __init__(self, application: Application, tasks: Tasks) -> None:
        self._application, self._tasks = application, tasks

    async def __call__(self, call: Call) -> Reply:
        """The application's answer, whole, or streaming as it comes."""
        request = call.arrival
        assert isinstance(request, Request)
        if request.scope["type"] == "websocket":
            request.is_admitted = True
            return Reply(101, [], origin="node")
        answer = _Answer(request, call.body)
        answer.work = self._tasks.start(
            self._run(scope_for(request, call.caller), answer), "asgi.application", tells_itself=True
        )
        answer.watch = self._tasks.start(answer.until_gone(), "asgi.watch", tells_itself=True)
        try:
            return await answer.reply()
        except BaseException:
            answer.abandon()
            raise

    async def _run(self, scope: Scope, answer: "_Answer") -> None:
        try:
            await self._application(scope, answer.receive, answer.send)
        except Exception as error:  # a task root: it is raised where the answer is waited for
            await answer.end(error)
        else:
            await answer.end(None)


class _Broken(Exception):
    """The application ended without an answer."""


class _Answer:
    """One call's messages both ways. Between application and reply stands one message, so that nothing piles up.

    Servers tell that a client left only to who asks. Here that is one task a call, from when the body is over until the
    answer is; it ends whoever serves the call.
    """

    def __init__(self, request: Request, body: bytes) -> None:
        self.work: asyncio.Task[None] | None = None
        self.watch: asyncio.Task[None] | None = None
        self._serving = asyncio.current_task()
        self._incoming = request.incoming
        self._receive = request.receive
        self._body: bytes | None = body
        self._messages: asyncio.Queue[Message | Exception | None] = asyncio.Queue(maxsize=1)
        self._is_received = asyncio.Event()
        self._is_gone = asyncio.Event()
        if self._incoming is None:
            self._is_received.set()

    async def receive(self) -> Message:
        """For the application: the body, then that its client left."""
        if self._incoming is not None:
            part = await self._incoming.part()
            if not part:
                self._incoming = self._body = None
                self._is_received.set()
            return {"type": "http.request", "body": part, "more_body": bool(part)}
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    async def until_gone(self) -> None:
        """Wait for the client to leave, and end the call then."""
        await self._is_received.wait()
        assert self._receive is not None
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the end of a body that was taken already
        self._is_gone.set()
        if self._serving is not None:
            self._serving.cancel()

    async def send(self, message: Message) -> None:
        """From the application."""
        if message["type"] in ("http.response.start", "http.response.body"):
            await self._messages.put(message)

    async def end(self, error: Exception | None) -> None:
        """The application has returned, or raised `error`."""
        await self._messages.put(error)

    async def reply(self) -> Reply:
        """The head, with the body where it is one message. Raises what the application raises before."""
        start = await self._next()
        if start is None or start["type"] != "http.response.start":
            raise _Broken("no http.response.start")
        first = await self._next()
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        reply = Reply(start["status"], headers)
        body: bytes = b"" if first is None else first.get("body", b"")
        if first is None or not first.get("more_body", False):
            reply.body = body
            self._tail()
            return reply
        length = reply.header(b"content-length")
        reply.length = int(length) if length is not None and length.isdigit() else None
        reply.body = _Stream(self, body)
        return reply

    def _tail(self) -> None:
        """What the application does after its answer (background work) is not waited for; it must not wait for us."""
        self._messages = asyncio.Queue()
        self._unwatch()

    def _unwatch(self) -> None:
        if self.watch is not None:
            self.watch.cancel()

    async def _next(self) -> Message | None:
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def part(self) -> bytes | None:
        """More of a body that streams; None at its end. Raises what the application raises meanwhile."""
        message = await self._next()
        if message is None:
            return None
        part = bytes(message.get("body", b""))
        if not message.get("more_body", False):
            self._tail()
            self._messages.put_nowait(None)
        return part

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self._unwatch()
        if self.work is not None:
            self.work.cancel()


class _Stream:
    """The parts of an answer. A generator would not do: closed before its first step it leaves the work alive."""

    def __init__(self, answer: _Answer, first: bytes) -> None:
        self._answer, self._first, self._is_over = answer, first, False

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._is_over:
            raise StopAsyncIteration
        part = await self._answer.part()
        if part is None:
            self._is_over = True
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """End the application's work, unless it is done with its answer."""
        if not self._is_over:
            self._is_over = True
            self._answer.abandon()
