"""Legacy clients at a modern server: what a session is, the node answers; all else it asks the server."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.ports import Post, Sealer, State, Upstream
from mantlet.core.refusal import InvalidParams, MethodNotFound
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern import calls
from mantlet.upstreams.bridge.to_modern.answers import whole
from mantlet.upstreams.bridge.to_modern.exchange import Exchange, Parts
from mantlet.upstreams.bridge.to_modern.feed import Feed
from mantlet.upstreams.bridge.to_modern.held import Held
from mantlet.upstreams.bridge.to_modern.in_flight import InFlight
from mantlet.upstreams.bridge.to_modern.mail import Mail
from mantlet.upstreams.bridge.to_modern.session import Sessions, Standing
from mantlet.upstreams.bridge.to_modern.stream import Streams
from mantlet.upstreams.bridge.to_modern.tools import Tools
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.bridge import to_modern_handshake as handshake
from mantlet.wire.mcp.bridge import to_modern_result as results
from mantlet.wire.mcp.bridge.to_modern_handshake import Offers
from mantlet.wire.mcp.bridge.to_modern_request import LOG_LEVELS, meta_of
from mantlet.wire.mcp.inbound import SESSION_ID

Answering = Callable[[Call, Standing], Awaitable[None]]

_EMPTY: Final = b'{"jsonrpc":"2.0","id":%b,"result":{}}'


class ToModern:
    """`upstreams.bridge.bridged.Crossing` from the revisions before 2026-07-28 to that one.

    `is_alone`: no other process shares `state`, so nothing need be written there that only another would read.
    """

    def __init__(
        self,
        inner: Upstream,
        sealer: Sealer,
        state: State,
        post: Post,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        config: BridgeConfig,
        *,
        is_alone: bool = False,
        session_idle_s: float = 3_600.0,
        on_error: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._inner = inner
        self._tasks = Tasks(on_error)
        self._mail = Mail(post, f"to-modern {inner.name}", self._tasks, random_bytes)
        self._sessions = Sessions(
            inner.name,
            sealer,
            state,
            clock,
            random_bytes,
            idle_s=session_idle_s,
            busy=self._busy,
            tasks=self._tasks,
        )
        feed = Feed(inner, self._tasks, clock, lambda: random_bytes(1)[0] / 256)
        self._streams = Streams(config, self._sessions, state, self._mail, feed, self._tasks, random_bytes)
        self._parts = Parts(
            inner=inner,
            config=config,
            clock=clock,
            tools=Tools(),
            held=Held(config, self._mail, random_bytes),
            in_flight=InFlight(self._sessions, state, self._mail, self._tasks, is_alone=is_alone),
            tasks=self._tasks,
            on_error=on_error,
        )
        self._own: dict[str, Answering] = {
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    async def send(self, call: Call, /) -> Reply:
        """See `core.ports.Upstream`; `call` is legacy."""
        if call.kind == "request" and call.method == "initialize":
            return await self._initialize(call)
        standing = await self._sessions.open(call.session, call.caller, is_message=call.arrival.is_message)
        if call.kind == "request":
            own = self._own.get(call.method)
            if own is not None:
                await own(call, standing)
                return Reply(200, [JSON], _EMPTY % (call.id or b"null"))
            if call.method.startswith("tasks/"):
                raise MethodNotFound("Tasks of 2025-11-25 cannot be carried over to a server of 2026-07-28.")
            return await Exchange(self._parts, call, standing).run()
        if call.kind == "stream":
            return await self._streams.open(call, standing.session)
        if call.kind == "end":
            return await self._end(standing)
        if call.kind == "response":
            await self._parts.held.respond(standing.session, call.message.get("id"), call.body)
        elif call.method == "notifications/cancelled":
            self._cancel(call, standing)
        return Reply(202, [])

    def counts(self) -> dict[str, int]:
        """What is under way, for people and tests."""
        return {
            "calls": len(self._parts.in_flight),
            "held": len(self._parts.held),
            "streams": len(self._streams),
            "tasks": len(self._tasks),
        }

    async def close(self) -> None:
        """End all streams and calls of this process; sessions live on for the others."""
        self._sessions.last_use.close()
        self._mail.close()
        self._streams.close()
        await self._tasks.close()

    # --- sessions

    def _busy(self) -> Iterator[str]:
        """Those with a call under way or a stream in this process: they are not idle, however long it takes."""
        yield from self._parts.in_flight.sessions()
        yield from self._streams

    async def _initialize(self, call: Call) -> Reply:
        assert call.id is not None
        version = handshake.negotiated(call.params)
        info, capabilities = handshake.client_of(call.params)
        ask = calls.own(call, "server/discover", {}, meta_of(info, capabilities), call.deadline_s)
        answer = results.read(await whole(await self._inner.send(ask)))
        if answer.error is not msgspec.UNSET or answer.result is msgspec.UNSET:
            translated = results.translated(answer, "server/discover", call.id)
            assert isinstance(translated, bytes)  # no discovery asks for input
            return Reply(200, [JSON], translated)
        discovered: dict[str, Any] = msgspec.convert(
            {name: msgspec.json.decode(raw) for name, raw in answer.result.items()}, dict[str, Any]
        )
        offers = handshake.offers(handshake.capabilities_of(discovered))
        session = await self._sessions.begin(call.caller, version, offers, info, capabilities)
        result = handshake.initialize_result(discovered, version, self._inner.name)
        return Reply(200, [JSON, (SESSION_ID, session.encode())], jsonrpc.result(call.id, result))

    async def _end(self, standing: Standing) -> Reply:
        session = standing.session
        await self._sessions.end(session)
        self._parts.in_flight.end(session.key)
        await self._streams.end(session)
        return Reply(200, [])

    # --- what the server never hears of

    async def _ping(self, call: Call, standing: Standing) -> None:
        return None

    async def _set_level(self, call: Call, standing: Standing) -> None:
        level = call.params.get("level")
        if level not in LOG_LEVELS:
            raise InvalidParams(f'"level" must be one of {", ".join(sorted(LOG_LEVELS))}.')
        await self._sessions.set_level(standing.session, level)

    async def _subscribe(self, call: Call, standing: Standing) -> None:
        if Offers.UPDATES not in standing.session.offers:
            raise MethodNotFound("This server does not tell of changed resources.")
        await self._streams.subscriptions.change(standing.session, call.target, is_wanted=True)

    async def _unsubscribe(self, call: Call, standing: Standing) -> None:
        if Offers.UPDATES not in standing.session.offers:
            raise MethodNotFound("This server does not tell of changed resources.")
        await self._streams.subscriptions.change(standing.session, call.target, is_wanted=False)

    def _cancel(self, call: Call, standing: Standing) -> None:
        identity = call.params.get("requestId")
        if type(identity) in (str, int):
            self._parts.in_flight.cancel(standing.session.key, jsonrpc.raw_identifier(identity))
