"""One legacy session and the channel that is its own.

Over HTTP each message of a server says by its stream which request it belongs to; over a channel none does. So what a
server asks or logs goes to the reply of the newest call in flight that can stream: servers ask on behalf of what they
are doing. What concerns no call (changed lists, updated resources) goes to the session's own stream (GET). Where the
one is missing the other serves; where both are missing it waits for the stream, within bounds.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidParams, InvalidRequest, NotAcceptable, Overloaded
from mantlet.upstreams.transports.channel.carry import carry
from mantlet.upstreams.transports.channel.channel import OwnedChannel
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.envelope import Incoming, incoming, member, one_line, with_member
from mantlet.upstreams.transports.channel.isolated.asks import Ask, Asks, objection
from mantlet.upstreams.transports.channel.isolated.mux import SessionMux
from mantlet.upstreams.transports.channel.legacy import CANCELLED
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Pending, notification
from mantlet.wire import answer, jsonrpc
from mantlet.wire.event_stream import HEADERS, EventStream
from mantlet.wire.mcp.accepted import accepts_stream

MAX_BACKLOG: Final = 100
MAX_BACKLOG_BYTES: Final = 524_288
"""What waits for a stream that is not open. Half of what a stream itself may hold."""
UNHEARD_S: Final = 30.0
"""How long a request of the server waits for its client to open a stream at all."""
TIMED_OUT: Final = -32001
"""What the SDKs of that era say for it."""
_OF_CALLS: Final = frozenset({"notifications/message", "notifications/cancelled"})


class SessionLink(Link):
    """A link whose calls outlive their deadline while the server waits for the client: a person may be typing."""

    def __init__(self, mux: SessionMux, asks: Asks, clock: Clock) -> None:
        super().__init__(mux)
        self._asks = asks
        self._clock = clock

    def give_up(self, pending: Pending, reason: str) -> bool:
        """See `Link`; what the server asked on that call's behalf is answered with it."""
        is_given_up = super().give_up(pending, reason)
        if is_given_up:
            for ask in self._asks.left(pending):
                self.pass_on(jsonrpc.error(ask.raw_id, TIMED_OUT, "The client gave up the call.") + b"\n")
        return is_given_up

    def expire(self, pending: Pending) -> None:
        """See `Link`; each open request of the server gives its own time."""
        more_s = self._asks.last_until_s() - self._clock.monotonic()
        if more_s > 0:
            pending.timer = asyncio.get_running_loop().call_later(more_s, self.expire, pending)
        else:
            super().expire(pending)


class Session:
    """Requests, notifications and responses of one client, and all that its server says."""

    channel: OwnedChannel | None = None

    def __init__(self, config: ChannelConfig, call: Call, clock: Clock, input_timeout_s: float) -> None:
        self.identity = ""
        self.caller = call.caller.key
        self.expires_at_s = 0.0
        self.last_used_s = clock.monotonic()
        self.pending: dict[bytes, Pending] = {}
        self.asks = Asks()
        self.stream: EventStream | None = None
        self.dropped = 0
        """Messages of the server that could be brought to nobody."""
        capabilities = call.params.get("capabilities")
        self._capabilities: Mapping[str, Any] = capabilities if type(capabilities) is dict else {}
        self._clock = clock
        self._input_timeout_s = input_timeout_s
        self._mux = SessionMux(max_pending=config.max_pending, client=self)
        self.link = SessionLink(self._mux, self.asks, clock)
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether it has calls in flight."""
        return bool(self.pending)

    def idle_s(self) -> float:
        """Since when its client says nothing, in seconds; 0 while a call is in flight or the stream is open."""
        return 0.0 if self.pending or self.stream is not None else self._clock.monotonic() - self.last_used_s

    # --- what the client says

    async def send(self, call: Call) -> Reply:
        """Anything of the session but its beginning and its end."""
        self.last_used_s = self._clock.monotonic()
        if call.kind == "request":
            try:
                return await carry(call, self.link, self._clock, self.pending)
            finally:
                self.last_used_s = self._clock.monotonic()
        if call.kind == "stream":
            return self._listen(call)
        if call.kind == "response":
            return self._responded(call)
        return self._notified(call)

    def _responded(self, call: Call) -> Reply:
        message = incoming(one_line(call.body))
        hop_id = None if message is None else message.id
        ask = self.asks.find(hop_id)
        if ask is not None and message is not None:
            kind, content = (b"error", message.error) if message.error else (b"result", message.result)
            if not self.link.pass_on(b'{"jsonrpc":"2.0","id":%b,"%b":%b}\n' % (ask.raw_id, kind, content)):
                raise Overloaded(why="the server does not read as fast as it is written to")
            self.asks.close(hop_id)
        elif not self.asks.was_open(hop_id):
            raise InvalidRequest("The server has asked nothing under this id.")
        return Reply(202, [])

    def _notified(self, call: Call) -> Reply:
        if call.method == "notifications/cancelled":
            try:
                raw_id = jsonrpc.raw_identifier(call.params.get("requestId"))
            except InvalidRequest as error:
                raise InvalidParams('"requestId" must be a string or an integer.') from error
            self._cancel(raw_id, "cancelled by the client")
        else:
            self.link.pass_on(one_line(call.body) + b"\n")
        return Reply(202, [])

    def _cancel(self, raw_id: bytes, reason: str) -> None:
        pending = self.pending.get(raw_id)
        if pending is not None and self.link.give_up(pending, reason):
            pending.receiver.on_answer(jsonrpc.error(raw_id, CANCELLED, "The request was cancelled."), CANCELLED)

    def _listen(self, call: Call) -> Reply:
        if not accepts_stream(call.arrival):
            raise NotAcceptable("A GET needs Accept: text/event-stream.")
        if self.stream is not None:
            self.stream.end()  # a client that comes again has lost the first one
        stream = EventStream(lambda: self._closed(stream))
        self.stream = stream
        self._backlog_bytes = 0
        if self._backlog:
            self.asks.renew(self._clock.monotonic() + self._input_timeout_s)
        while self._backlog:
            stream.push(self._backlog.popleft())
        return Reply(200, list(HEADERS), stream)

    def _closed(self, stream: EventStream) -> None:
        self.last_used_s = self._clock.monotonic()
        if self.stream is stream:
            self.stream = None

    # --- what the server says

    def asked(self, message: Incoming, /) -> bytes | None:
        """See `mux.Client`. What the client cannot be asked is answered here; what nobody hears would wait for ever."""
        method = message.method
        if message.id is None or message.id is msgspec.UNSET or type(method) is not str:
            return None
        raw_id = msgspec.json.encode(message.id)
        refused = objection(method, message.params, self._capabilities)
        if refused is not None:
            return jsonrpc.error(raw_id, *refused) + b"\n"
        if method == "ping" and self.stream is None and self._mux.last_streaming() is None:
            return b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % raw_id
        ask = Ask(raw_id, method, self._clock.monotonic() + self._input_timeout_s)
        hop_id = self.asks.open(ask)
        if hop_id is not None:
            params = b',"params":%b' % message.params if message.params else b""
            body = b'{"jsonrpc":"2.0","id":%d,"method":%b%b}' % (hop_id, jsonrpc.encode(method), params)
            ask.pending = self._to_call(body)
            if ask.pending is not None or self._to_stream(body):
                return None
            if self._keep(body):
                ask.until_s = min(ask.until_s, self._clock.monotonic() + UNHEARD_S)
                return None
            self.asks.close(hop_id)
        return _overloaded(raw_id)

    def told(self, method: str, params: msgspec.Raw, /) -> None:
        """See `mux.Client`."""
        if method == "notifications/cancelled":
            hop_id = self.asks.id_of(msgspec.json.encode(member(params, "requestId")))
            if hop_id is None:
                self.dropped += 1
                return
            self.asks.close(hop_id)
            params = msgspec.Raw(with_member(params, "requestId", b"%d" % hop_id))
        if not self._bring(notification(method, params), of_call=method in _OF_CALLS):
            self.dropped += 1

    def give_up_asks(self) -> None:
        """Tell the server of what its client did not answer in time."""
        for ask in self.asks.overdue(self._clock.monotonic()):
            self.link.pass_on(jsonrpc.error(ask.raw_id, TIMED_OUT, "The client did not answer in time.") + b"\n")

    def _bring(self, body: bytes, *, of_call: bool) -> bool:
        if of_call:
            return self._to_call(body) is not None or self._to_stream(body) or self._keep(body)
        return self._to_stream(body) or self._to_call(body) is not None or self._keep(body)

    def _to_call(self, body: bytes) -> Pending | None:
        pending = self._mux.last_streaming()
        return pending if pending is not None and pending.receiver.on_note(body) else None

    def _to_stream(self, body: bytes) -> bool:
        if self.stream is None:
            return False
        if self.stream.push(body):
            return True
        self.stream.end()  # too far behind: it can come again
        self.stream = None
        return False

    def _keep(self, body: bytes) -> bool:
        if body in self._backlog:
            return True  # that a list has changed need not be told twice
        if len(self._backlog) >= MAX_BACKLOG or self._backlog_bytes + len(body) > MAX_BACKLOG_BYTES:
            return False
        self._backlog.append(body)
        self._backlog_bytes += len(body)
        return True

    def end(self, reason: str) -> None:
        """End its streams and calls; the channel is for whoever opened it to stop."""
        if self.stream is not None:
            self.stream.end()
            self.stream = None
        for pending in list(self.pending.values()):
            self._cancel(pending.raw_id, reason)


def _overloaded(raw_id: bytes) -> bytes:
    refusal = Overloaded("The client cannot be reached, or too much waits for it.")
    return jsonrpc.error(raw_id, answer.code_of(refusal), refusal.detail) + b"\n"
