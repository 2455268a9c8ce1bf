"""Legacy sessions at the endpoint of all servers, and the sessions behind them.

A session id is sealed text bound to its caller: any worker can check it and none needs to have made it (MCP-04).
Behind it every worker opens its own session with each server it needs, when it first needs it.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Sealer
from mantlet.core.refusal import BadUpstream, InvalidRequest, Refusal, SessionNotFound
from mantlet.policies.record.stream import CountedStream
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import calls, inbound
from mantlet.wire.mcp.methods import LATEST_LEGACY
from mantlet.wire.mcp.replies import read

LIFETIME_S: Final = 24 * 3600
"""From its beginning, however busy (MCP-04)."""
MAX_KEPT: Final = 10_000
"""Sessions with servers that one worker keeps; the least recently used is forgotten, and opened anew when needed."""
MAX_ENDED: Final = 10_000
"""Sessions ended by their clients that one worker remembers as ended; sealed ids alone would hold until they expire."""

_ID_BYTES: Final = 16
_EXPIRY_BYTES: Final = 8
_CLIENT: Final = {"name": "mantlet", "version": "1"}


class Sessions:
    """What a legacy client's session at `/mcp` stands for."""

    def __init__(self, sealer: Sealer, wall: Callable[[], float]) -> None:
        self._sealer = sealer
        self._wall = wall
        self._kept: OrderedDict[tuple[str, str], asyncio.Future[str]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._under_way: dict[tuple[str, bytes], Call] = {}

    def begin(self, call: Call) -> str:
        """A new session id for the caller."""
        expires = int(self._wall()) + LIFETIME_S
        return self._sealer.seal(
            secrets.token_bytes(_ID_BYTES) + expires.to_bytes(_EXPIRY_BYTES, "big"), _context(call.caller)
        )

    def check(self, call: Call) -> None:
        """Raise `SessionNotFound` unless the call is in a live session of its caller; `InvalidRequest` without any."""
        if not call.session:
            raise InvalidRequest(
                "A session is needed: send initialize first, then its Mcp-Session-Id with every message."
            )
        plain = self._sealer.open(call.session, _context(call.caller))
        if plain is None or len(plain) != _ID_BYTES + _EXPIRY_BYTES or call.session in self._ended:
            raise SessionNotFound
        if int.from_bytes(plain[_ID_BYTES:], "big") <= self._wall():
            raise SessionNotFound

    def end(self, call: Call) -> list[Call]:
        """Forget the session; the calls that end the sessions behind it."""
        self.check(call)
        self._ended[call.session] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        ended = [(key, future) for key, future in self._kept.items() if key[0] == call.session]
        for key, _ in ended:
            del self._kept[key]
        return [
            calls.end(call, server, future.result())
            for (_, server), future in ended
            if future.done() and not future.cancelled() and future.exception() is None and future.result()
        ]

    def cancelled(self, call: Call) -> list[Call]:
        """The call that carries a cancellation to where the cancelled request went."""
        if call.era != "legacy":
            return []
        self.check(call)
        if call.method != "notifications/cancelled":
            return []
        raw_id = jsonrpc.raw_identifier(call.params.get("requestId"))
        target = self._under_way.get((call.session, raw_id))
        if target is None:
            return []
        return [calls.notification(call, target.server, call.method, call.params, session=target.session)]

    async def under_way(self, call: Call, led: Call, onward: CallHandler) -> Reply:
        """Send `led` on, remembered until its answer is whole, so that it can be cancelled.

        In a new session when the server forgot the old.
        """
        if call.era == "modern" or call.id is None:
            return await onward(led)
        key = (call.session, call.id)
        self._under_way[key] = led
        reply: Reply | None = None
        try:
            reply = await self._sent(key, call, led, onward)
        finally:
            if reply is None or isinstance(reply.body, bytes):
                self._under_way.pop(key, None)
        if not isinstance(reply.body, bytes):
            reply.body = CountedStream(reply.body, lambda _: self._answered(key))
        return reply

    def _answered(self, key: tuple[str, bytes]) -> None:
        self._under_way.pop(key, None)

    async def _sent(self, key: tuple[str, bytes], call: Call, led: Call, onward: CallHandler) -> Reply:
        try:
            return await onward(led)
        except SessionNotFound:
            # The server did not take the call, so it may be sent once more.
            self.forget(call, led.server, led.session)
            led = self._under_way[key] = replace(led, session=await self.at(led.server, call, onward))
            return await onward(led)

    def forget(self, call: Call, server: str, session: str) -> None:
        """The server knows `session` no longer; a newer one that somebody opened meanwhile stays."""
        key = (call.session, server)
        future = self._kept.get(key)
        if future is not None and future.done() and not future.exception() and future.result() == session:
            del self._kept[key]

    async def at(self, server: str, call: Call, onward: CallHandler) -> str:
        """The session with `server` behind the caller's; opened once, however many ask at a time.

        Raises what opening it raised, to all who waited. When the one who opens it leaves, the next opens it.
        """
        key = (call.session, server)
        while (future := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            # `wait` leaves the shared future alone when one of those who wait is cancelled.
            await asyncio.wait({future})
            if not future.cancelled():
                return future.result()
        return await self._begin(key, server, call, onward)

    async def _begin(self, key: tuple[str, str], server: str, call: Call, onward: CallHandler) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._kept[key] = future
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        try:
            session = await self._open(server, call, onward)
        except BaseException as error:
            if self._kept.get(key) is future:
                del self._kept[key]
            if isinstance(error, Refusal):
                future.set_exception(error)
                future.exception()  # looked at: nobody may be waiting
            else:
                future.cancel()  # those who wait try for themselves: this one's leaving is no fault of the server
            raise
        future.set_result(session)
        return session

    async def _open(self, server: str, call: Call, onward: CallHandler) -> str:
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT}
        reply = await onward(calls.request(call, server, "initialize", params, session="", deadline_s=call.deadline_s))
        session = reply.header(inbound.SESSION_ID)
        # Read to its answer: a stream closed before it would cancel the handshake, and an error opens no session.
        message = await read(reply)
        if reply.status != 200 or type(message.get("result")) is not dict:
            raise BadUpstream(why=f"{server}: initialize failed with {reply.status}")
        text = "" if session is None else session.decode("latin-1")
        await onward(calls.notification(call, server, "notifications/initialized", {}, session=text))
        return text


def _context(caller: Caller) -> bytes:
    return jsonrpc.encode(["/mcp", *caller.key])
