"""The crossing for modern clients of a legacy server: what each request becomes, and where it waits meanwhile."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import JSON
from mantlet.core.ports import Post, Sealer, Upstream
from mantlet.core.refusal import BadUpstream, InvalidParams, MethodNotFound, NotAcceptable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_legacy.delivery import deliver
from mantlet.upstreams.bridge.to_legacy.exchange import Exchange
from mantlet.upstreams.bridge.to_legacy.held import Held
from mantlet.upstreams.bridge.to_legacy.leg import Leg, Source
from mantlet.upstreams.bridge.to_legacy.places import Places
from mantlet.upstreams.bridge.to_legacy.relay.asker import Remote
from mantlet.upstreams.bridge.to_legacy.relay.holder import Relay
from mantlet.upstreams.bridge.to_legacy.session import Session
from mantlet.upstreams.bridge.to_legacy.sessions import Sessions
from mantlet.upstreams.room import Room
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import HEADERS
from mantlet.wire.mcp.accepted import accepts_stream
from mantlet.wire.mcp.bridge import to_legacy_answers as answers
from mantlet.wire.mcp.bridge import to_legacy_inputs as inputs
from mantlet.wire.mcp.bridge import to_legacy_listen as listen
from mantlet.wire.mcp.bridge import to_legacy_requests as requests
from mantlet.wire.mcp.bridge import to_legacy_state as states
from mantlet.wire.mcp.methods import LEGACY_METHODS, MODERN_METHODS

ROUNDS: Final = 3
"""How many times `input_timeout` a server may take in all where its answer has no stream to come on."""
_NOT_CROSSING: Final = (LEGACY_METHODS - MODERN_METHODS) | {
    method for method in LEGACY_METHODS | MODERN_METHODS if method.startswith("tasks/")
}
"""What only legacy clients say, and tasks: the two eras know different ones under one name."""
_REFUSED: Final = "This requestState is not one of this request, or its time is over."
_USED: Final = "This requestState was used already, or its time is over."


class ToLegacy:
    """One server's `Crossing`. `places` is shared by those of all servers, `room` with the streams of `inner`, if they
    share its connections; `close` before `inner` is closed."""

    def __init__(
        self,
        inner: Upstream,
        config: BridgeConfig,
        sealer: Sealer,
        post: Post,
        places: Places,
        *,
        room: Room | None = None,
        clock: Clock = SYSTEM,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        on_error: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._config = config
        self._sealer = sealer
        self._post = post
        self._clock = clock
        self._tasks = Tasks(on_error)
        self._sessions = Sessions(inner, config, places, clock, self._tasks)
        self._held = Held(places, room, config.input_timeout, random_bytes)
        self._relay = Relay(post, inner.name, self._resume, clock, self._tasks)

    async def send(self, call: Call, /) -> Reply:
        """See `bridged.Crossing`."""
        if call.kind != "request" or call.id is None:
            return Reply(202, [])  # no notification is defined for HTTP in this revision; closing the stream cancels
        method, params = call.method, call.params
        if method in _NOT_CROSSING:
            raise MethodNotFound(f"The method {method[:100]} is not served here.")
        leg = Leg(call.id, requests.wishes(params))
        if method == "server/discover":
            return await self._discover(call, leg)
        if method == "subscriptions/listen":
            return await self._listen(call, leg)
        if "requestState" in params:
            return await self._retry(call, leg)
        if "inputResponses" in params:
            raise InvalidParams('"inputResponses" need the "requestState" that they belong to.')
        return await self._request(call, leg)

    def report(self) -> Mapping[str, int]:
        """What is kept, for people."""
        return {"sessions": len(self._sessions), "held": len(self._held), "relayed": len(self._relay)}

    async def close(self) -> None:
        """End every session; calls under way fail."""
        self._relay.close()
        self._held.close()
        await self._sessions.close()
        await self._tasks.close()

    # --- requests

    async def _request(self, call: Call, leg: Leg) -> Reply:
        session = self._sessions.get(call.caller, leg.said)
        if call.method in requests.ROUND_TRIP and requests.is_askable(leg.said.capabilities):
            return await deliver(call, await self._askable(call, leg, session), self._clock)
        return await self._plain(call, leg, session)

    async def _askable(self, call: Call, leg: Leg, session: Session) -> Source:
        exchange = self._exchange(call, leg, session)
        try:
            if session.feed is not None and await session.feed.expect_questions():
                exchange.on_end = session.feed.expect_no_questions
        except BaseException:
            exchange.leave()
            raise
        body = requests.body(call.method, call.body, exchange.id, exchange.token)
        exchange.begin(call, body, call.deadline_s + ROUNDS * self._config.input_timeout)
        return exchange

    async def _plain(self, call: Call, leg: Leg, session: Session) -> Reply:
        # The usual case, without a task of its own until it is known that there is a stream to be read.
        exchange = self._exchange(call, leg, session)
        try:
            body = requests.body(call.method, call.body, exchange.id, exchange.token)
            opened, reply = await session.send(call, body, exchange.id, exchange.token, leg.said.level, call.deadline_s)
            await exchange.go_on(opened, reply)
            if (answer := exchange.at_once()) is not None:
                return Reply(answer.status, [JSON], answer.body)
        except BaseException:
            exchange.leave()
            raise
        return await deliver(call, exchange, self._clock)

    def _exchange(self, call: Call, leg: Leg, session: Session) -> Exchange:
        context = partial(states.context, call.caller, call.server, call.method, call.params)
        return Exchange(session, call, leg, context, self._tasks, self._hold, self._send_again)

    # --- input

    def _hold(self, exchange: Exchange) -> str:
        return self._state(self._post.address, self._held.hold(exchange), exchange.context)

    def _send_again(self, context: bytes) -> str:
        return self._state("", "", context)

    def _state(self, holder: str, ticket: str, context: bytes) -> str:
        expires_at_s = self._clock.wall() + self._config.input_timeout
        return self._sealer.seal(states.encode(states.State(expires_at_s, holder, ticket)), context)

    async def _retry(self, call: Call, leg: Leg) -> Reply:
        sealed = call.params["requestState"]
        if type(sealed) is not str or len(sealed) > states.MAX_CHARACTERS:
            raise InvalidParams(_REFUSED)
        context = states.context(call.caller, call.server, call.method, call.params)
        plain = self._sealer.open(sealed, context)
        state = None if plain is None else states.decode(plain)
        if state is None or state.expires_at_s <= self._clock.wall():
            raise InvalidParams(_REFUSED)
        responses = inputs.responses_of(call.params)
        if not state.holder:
            if not inputs.are_accepted(responses):
                return Reply(200, [JSON], jsonrpc.error(leg.raw_id, answers.INTERNAL_ERROR, "The client declined."))
            return await self._request(call, leg)
        source: Source
        if state.holder == self._post.address:
            source = await self._resume(state.ticket, context, leg, responses)
        else:
            remote = Remote(self._post, state.holder, call.server, self._clock, self._tasks)
            await remote.ask(state.ticket, context, leg, responses)
            source = remote
        return await deliver(call, source, self._clock)

    async def _resume(self, ticket: str, context: bytes, leg: Leg, responses: inputs.Responses) -> Exchange:
        exchange = self._held.find(ticket)
        if exchange is None or exchange.context != context:
            raise InvalidParams(_USED)
        exchange.check(responses)
        self._held.take(ticket)
        try:
            await exchange.resume(leg, responses)
        except BaseException:
            exchange.leave()
            raise
        return exchange

    # --- what is answered here

    async def _discover(self, call: Call, leg: Leg) -> Reply:
        opened = await self._sessions.get(call.caller, leg.said).open(call.deadline_s)
        return Reply(200, [JSON], jsonrpc.result(leg.raw_id, answers.discovered(opened.result)))

    async def _listen(self, call: Call, leg: Leg) -> Reply:
        if not accepts_stream(call.arrival):
            raise NotAcceptable("subscriptions/listen needs Accept: text/event-stream.")
        asked = listen.wanted(call.params)
        feed = self._sessions.get(call.caller, leg.said).feed
        if feed is None:
            raise BadUpstream(why="the session is closed")
        return Reply(200, list(HEADERS), await feed.begin(leg.raw_id, asked, call.deadline_s))
