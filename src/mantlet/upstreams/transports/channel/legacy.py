"""What a legacy client over HTTP expects of its own server, and a shared child cannot give it.

The child was initialized once, by us. So `initialize`, `notifications/initialized` and `ping` are answered here;
`notifications/cancelled` is translated; subscriptions and the log level, which the child has only once, are counted
over sessions; and each session's GET stream carries what the child says to nobody in particular.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.ports import Sealer
from mantlet.core.refusal import InvalidParams, InvalidRequest, NotAcceptable, Overloaded, Refusal
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.envelope import one_line
from mantlet.upstreams.transports.channel.exchange import Answer, Exchange
from mantlet.upstreams.transports.channel.link import NODE, Link
from mantlet.upstreams.transports.channel.opening import Opening, negotiated
from mantlet.upstreams.transports.channel.sessions import MAX_SUBSCRIPTIONS, Session, Sessions
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import HEADERS, EventStream
from mantlet.wire.mcp.accepted import accepts_stream
from mantlet.wire.mcp.inbound import SESSION_ID

CANCELLED: Final = 4499
"""Our code for a call that its own client cancelled; nobody reads it, but the HTTP request wants an end."""
MAX_STREAMS: Final = 5_000
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_OWN_NOTIFICATIONS: Final = frozenset(
    {"notifications/initialized", "notifications/roots/list_changed", "notifications/progress"}
)
"""They speak of the client's own handshake, roots and answers, of which the child knows nothing."""


class LegacySide:
    """The sessions of one server, and what is answered for them without or before the child."""

    def __init__(
        self,
        config: ChannelConfig,
        sealer: Sealer,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        *,
        session_idle_s: float,
    ) -> None:
        self.sessions = Sessions(
            config.name, sealer, clock, random_bytes, config.max_sessions, session_idle_s, self._forgotten
        )
        self._clock = clock
        self._link: Link | None = None
        self._by_uri: dict[str, set[Session]] = {}
        self._streams: set[EventStream] = set()
        self._level = -1
        """The log level that the child was given, as an index of `LEVELS`; -1 for its own."""

    async def without_server(self, call: Call) -> Reply | None:
        """The reply to what needs no child, or None. The session is checked here for everything but `initialize`."""
        if call.method == "initialize" and call.kind == "request":
            return None
        session = self.sessions.find(call.session, call.caller, is_message=call.arrival.is_message)
        if call.kind == "stream":
            return self._listen(call, session)
        if call.kind == "end":
            self.sessions.end(call.session, call.caller)
            return Reply(200, [])
        if call.kind == "response":
            raise InvalidRequest("This server asks its clients nothing, so there is nothing to respond to.")
        if call.kind == "notification":
            return self._notified(call, session)
        if call.method == "ping" and call.id is not None:
            return Reply(200, [JSON], jsonrpc.result(call.id, {}))
        return None

    async def answer(self, call: Call, link: Link, opening: Opening) -> Reply | None:
        """The reply to what can be answered now that a child is open, or None when the call is the child's."""
        if call.id is None:
            return None
        if call.method == "initialize":
            version = negotiated(call.params.get("protocolVersion"), opening.versions[0])
            result = {**opening.result, "protocolVersion": version}
            identity = self.sessions.begin(call.caller, version)
            return Reply(200, [JSON, (SESSION_ID, identity.encode())], jsonrpc.result(call.id, result))
        if call.method == "resources/subscribe":
            return self._subscribe(call)
        if call.method == "resources/unsubscribe":
            return self._unsubscribe(call)
        if call.method == "logging/setLevel" and (level := call.params.get("level")) in LEVELS:
            # One child has one level: the most talkative that any session asked for. Nobody can silence another.
            return None if self._takes_level(level) else Reply(200, [JSON], jsonrpc.result(call.id, {}))
        return None

    def _takes_level(self, level: str) -> bool:
        """Whether the child must be told of `level`, because it is more talkative than what it was told."""
        index = LEVELS.index(level)
        if 0 <= self._level <= index:
            return False
        self._level = index
        return True

    def broadcast(self, method: str, uri: str, body: bytes) -> None:
        """Give a notification of the child to the sessions it is for; a stream too far behind is closed."""
        sessions = list(self._by_uri.get(uri, ())) if uri else list(self.sessions)
        for session in sessions:
            if session.stream is not None and not session.stream.push(body):
                session.stream.end()
                session.stream = None

    def reopened(self, link: Link) -> None:
        """A new child serves the sessions: it must hear again what they subscribed to."""
        self._link = link
        for uri in self._by_uri:
            self._tell(link, "resources/subscribe", {"uri": uri})
        if self._level >= 0:
            self._tell(link, "logging/setLevel", {"level": LEVELS[self._level]})

    def close(self) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.end()
        self.sessions.clear()

    # --- the stream of a session

    def _listen(self, call: Call, session: Session) -> Reply:
        if not accepts_stream(call.arrival):
            raise NotAcceptable("A GET needs Accept: text/event-stream.")
        if len(self._streams) >= MAX_STREAMS:
            raise Overloaded(why=f"{MAX_STREAMS} streams are open")
        if session.stream is not None:
            session.stream.end()  # a client that comes again has lost the first one
        stream = EventStream(lambda: self._closed(session, stream))
        session.stream = stream
        self._streams.add(stream)
        return Reply(200, list(HEADERS), stream)

    def _closed(self, session: Session, stream: EventStream) -> None:
        self._streams.discard(stream)
        if session.stream is stream:
            session.stream = None
            self.sessions.use(session)

    def _forgotten(self, session: Session) -> None:
        if session.stream is not None:
            session.stream.end()
            session.stream = None
        for uri in session.subscriptions:
            self._drop_subscription(session, uri)
        session.subscriptions.clear()
        for pending in list(session.pending.values()):
            self._cancel(session, pending.raw_id, "the session ended")

    # --- notifications of the client

    def _notified(self, call: Call, session: Session) -> Reply:
        if call.method == "notifications/cancelled":
            try:
                raw_id = jsonrpc.raw_identifier(call.params.get("requestId"))
            except InvalidRequest as error:
                raise InvalidParams('"requestId" must be a string or an integer.') from error
            self._cancel(session, raw_id, "cancelled by the client")
        elif call.method not in _OWN_NOTIFICATIONS and self._link is not None:
            self._link.pass_on(one_line(call.body) + b"\n")
        return Reply(202, [])

    def _cancel(self, session: Session, raw_id: bytes, reason: str) -> None:
        pending = session.pending.get(raw_id)
        if pending is not None and self._link is not None and self._link.give_up(pending, reason):
            pending.receiver.on_answer(jsonrpc.error(raw_id, CANCELLED, "The request was cancelled."), CANCELLED)

    # --- subscriptions: the child has each once, the sessions share it

    def _subscribe(self, call: Call) -> Reply | None:
        session = self.sessions.find(call.session, call.caller)
        uri = call.params.get("uri")
        if type(uri) is not str or call.id is None:
            raise InvalidParams('"uri" must be a string.')
        if len(session.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Overloaded(why=f"a session has {MAX_SUBSCRIPTIONS} subscriptions")
        is_known = uri in self._by_uri
        session.subscriptions.add(uri)
        # Before the child has said yes: its first update must not fall into the gap. A refusal leaves a
        # subscription to nothing, which costs one entry until the session ends.
        self._by_uri.setdefault(uri, set()).add(session)
        return Reply(200, [JSON], jsonrpc.result(call.id, {})) if is_known else None

    def _unsubscribe(self, call: Call) -> Reply | None:
        session = self.sessions.find(call.session, call.caller)
        uri = call.params.get("uri")
        if type(uri) is not str or call.id is None:
            raise InvalidParams('"uri" must be a string.')
        if uri in session.subscriptions:
            session.subscriptions.discard(uri)
            self._drop_subscription(session, uri)
        return Reply(200, [JSON], jsonrpc.result(call.id, {}))

    def _drop_subscription(self, session: Session, uri: str) -> None:
        sharers = self._by_uri.get(uri)
        if sharers is None:
            return
        sharers.discard(session)
        if not sharers:
            del self._by_uri[uri]
            if self._link is not None:
                self._tell(self._link, "resources/unsubscribe", {"uri": uri})

    def _tell(self, link: Link, method: str, params: Mapping[str, str]) -> None:
        # Nobody waits for the answer; were the child gone, its successor is told by `reopened`.
        body = jsonrpc.encode({"jsonrpc": "2.0", "method": method, "params": params})
        exchange = Exchange(b"0")
        exchange.first.add_done_callback(_seen)
        try:
            link.open(body, b"0", NODE, exchange)
        except Refusal:
            exchange.first.cancel()


def _seen(future: asyncio.Future[Answer | None]) -> None:
    if not future.cancelled():
        future.exception()
