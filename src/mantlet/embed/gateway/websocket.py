"""WebSockets of the application behind: each lives no longer than the right by which it was opened (AUTHN-06)."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.refusal import Refusal
from mantlet.embed.gateway.application import scope_for
from mantlet.embed.gateway.asgi import Application, Message, Receive, Send
from mantlet.embed.gateway.request import Request

REFUSED: Final = 1008
"""RFC 6455 section 7.4.1: against the policy of whoever closes."""


class Conversations:
    """Those that are open. `check` is called every few seconds: one that is silent must end, too."""

    def __init__(self, application: Application, is_current: Callable[[Caller], bool]) -> None:
        self._application, self._is_current = application, is_current
        self._open: set[_Conversation] = set()

    async def converse(self, request: Request, caller: Caller, receive: Receive, send: Send) -> None:
        """Hand the socket to the application, until it or the caller's right ends."""
        talk = _Conversation(caller, self._holds, receive, send)
        self._open.add(talk)
        try:
            await self._application(scope_for(request, caller), talk.receive, talk.send)
        except ConnectionAbortedError:
            if not talk.is_over:
                raise
        finally:
            self._open.discard(talk)

    async def check(self) -> None:
        """Close those whose caller's credential no longer holds, also while nobody says a word."""
        for talk in [talk for talk in self._open if not self._holds(talk.caller)]:
            await talk.close()

    def _holds(self, caller: Caller) -> bool:
        try:
            return self._is_current(caller)
        except Refusal:  # nobody can say: new requests are refused then
            return False


class _Conversation:
    def __init__(self, caller: Caller, holds: Callable[[Caller], bool], receive: Receive, send: Send) -> None:
        self.caller, self.is_over = caller, False
        self._holds, self._receive, self._send = holds, receive, send
        self._waiting: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """What the client says; once it is over, that it has left."""
        if not self.is_over:
            message = await self._next()
            if message is not None and (message["type"] != "websocket.receive" or self._holds(self.caller)):
                return message
            await self.close()
        return {"type": "websocket.disconnect", "code": REFUSED}

    async def _next(self) -> Message | None:
        """None when it was closed meanwhile."""
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await self._receive()
        except TimeoutError:
            if not self.is_over:
                raise
            return None
        finally:
            self._waiting = None

    async def send(self, message: Message) -> None:
        """What the application says; once it is over, nothing, and it is told so as by a server."""
        if not self.is_over and message["type"] == "websocket.send" and not self._holds(self.caller):
            await self.close()
        if self.is_over:
            raise ConnectionAbortedError("the right by which this WebSocket was opened has ended")
        await self._send(message)

    async def close(self) -> None:
        """Tell the client, once, and whoever waits for a word of it."""
        if self.is_over:
            return
        self.is_over = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())
        await self._send({"type": "websocket.close", "code": REFUSED})
