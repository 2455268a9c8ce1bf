"""A server behind a channel as an `Upstream`: both eras over HTTP in front, one or two shared channels behind.

The child that the server is first started with decides its era; if it is modern, legacy clients get a second child,
started when the first of them comes. What a legacy session needs (handshake, ping, session id, its stream) is answered
here, see `legacy.py`. Every call that goes further goes under an id of ours and comes back under its own (MCP-05).
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from mantlet.core.call import Call, Era, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import BadUpstream, EraUnavailable, NotAcceptable, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.exchange import Exchange
from mantlet.upstreams.transports.channel.legacy import LegacySide
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Pending
from mantlet.upstreams.transports.channel.opening import Opening, WrongEra, handshake, probe
from mantlet.upstreams.transports.channel.supervisor import Events, Supervisor
from mantlet.upstreams.transports.crossing import unavailable
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import HEADERS
from mantlet.wire.mcp.methods import LEGACY_VERSIONS, META_VERSION, MODERN_VERSIONS

LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
MAX_LISTEN_S: Final = 86_400.0
"""A subscription is a stream without an end of its own; after a day its client opens a new one."""

_JSON: Final = (b"content-type", b"application/json")
_STATUS: Final[Mapping[int, int]] = {
    -32700: 400,
    -32600: 400,
    -32601: 404,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
}
"""HTTP statuses of a modern server's errors (2026-07-28, transports/streamable-http and basic/index)."""


def accepts_stream(call: Call) -> bool:
    """Whether the client takes `text/event-stream`."""
    accept = call.arrival.headers.get(b"accept")
    return accept is not None and (b"text/event-stream" in accept.lower() or b"*/*" in accept)


class ChannelServer:
    """One configured server. `start` before use, `close` at the end; `send` may be called from any task between."""

    def __init__(
        self,
        config: ChannelConfig,
        sealer: Sealer,
        connect: Connect,
        *,
        clock: Clock = SYSTEM,
        chance: Callable[[], float] = random.random,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        events: Events = lambda _event, _fields: None,
        is_relayed: bool = False,
    ) -> None:
        self._config = config
        self._clock = clock
        self._chance = chance
        self._connect = connect
        self._events = events
        self._tasks = Tasks(self._task_failed)
        self.legacy = LegacySide(config, sealer, clock, random_bytes)
        self._skips_probe = False
        self._is_relayed = is_relayed
        self._primary = self._supervisor(self._open_primary, self._primary_opened)
        self._second: Supervisor | None = None
        self._is_closed = False

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    async def start(self) -> None:
        """Begin to start the child; calls wait for it."""
        self._tasks.start(self._primary.run(), f"{self._config.transport}:{self.name}")

    async def close(self) -> None:
        """End every call and stream, and the children with all that they started."""
        self._is_closed = True
        self.legacy.close()
        # Each child may take its time twice, and the launcher a little more.
        await self._tasks.close(grace_s=2 * self._config.stop_timeout + 5)

    def eras(self) -> frozenset[Era]:
        """The eras known to be served; empty until the first child is open."""
        opening = self._primary.opening
        if opening is None:
            return frozenset()
        if opening.era == "modern" and self._second is not None and self._second.opening is not None:
            return frozenset({"modern", "legacy"})
        return frozenset({opening.era})

    def opening(self, era: Era) -> Opening | None:
        """What the child of `era` said of itself when it was last opened."""
        for supervisor in (self._primary, self._second):
            if supervisor is not None and supervisor.opening is not None and supervisor.opening.era == era:
                return supervisor.opening
        return None

    async def health(self) -> Mapping[str, Any]:
        """The first child's state and, if there is one, the other era's."""
        report: dict[str, Any] = {"name": self.name, "transport": self._config.transport, **self._primary.report()}
        report["eras"] = sorted(self.eras())
        report["sessions"] = len(self.legacy.sessions)
        if self._second is not None:
            report["legacy"] = self._second.report()
        return report

    # --- calls

    async def send(self, call: Call, /) -> Reply:
        """Carry `call`; see the port. A reply is a stream when a notification comes before its answer."""
        if self._is_closed:
            raise UpstreamUnavailable(why="the server is closed")
        if call.era == "modern":
            return await self._modern(call)
        reply = await self.legacy.without_server(call)
        if reply is not None:
            return reply
        supervisor, link = await self._reach(call)
        assert supervisor.opening is not None  # `_reach` gives an open link
        reply = await self.legacy.answer(call, link, supervisor.opening)
        if reply is not None:
            return reply
        session = self.legacy.sessions.find(call.session, call.caller)
        assert call.id is not None
        return await self._request(call, link, session.pending)

    async def _modern(self, call: Call) -> Reply:
        if call.kind != "request" or call.id is None:
            return Reply(202, [])  # This revision defines no notification over HTTP; closing the stream cancels.
        _, link = await self._reach(call)
        return await self._request(call, link, None)

    async def _request(self, call: Call, link: Link, in_session: dict[bytes, Pending] | None) -> Reply:
        raw_id, meta = call.id, call.params.get("_meta")
        assert raw_id is not None
        token = level = None
        if type(meta) is dict:
            token, level = meta.get("progressToken"), meta.get(LOG_LEVEL)
        is_modern = in_session is None
        is_listen = is_modern and call.method == "subscriptions/listen"
        can_stream = accepts_stream(call)
        if is_listen and not can_stream:
            raise NotAcceptable("subscriptions/listen needs Accept: text/event-stream.")
        exchange = Exchange(raw_id, can_stream=can_stream)
        pending = link.open(
            call.body,
            raw_id,
            call.caller.key,
            exchange,
            token=None if token is None else jsonrpc.encode(token),
            is_listen=is_listen,
            wants_log=can_stream and (not is_modern or level is not None),
        )
        if in_session is not None:
            in_session[raw_id] = pending
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, call.deadline_s - self._clock.monotonic()), link.expire, pending)
        is_streaming = False
        try:
            answer = await exchange.first
            is_streaming = answer is None
        except asyncio.CancelledError:
            if exchange.first.done() and not exchange.first.cancelled():
                exchange.first.exception()  # it came in the same turn; nobody will look at it
            raise
        finally:
            if not is_streaming:
                self._left(link, pending, timer, in_session)
        if answer is None:
            stream = exchange.stream
            assert stream is not None
            if is_listen:
                timer.cancel()
                timer = loop.call_later(MAX_LISTEN_S, link.expire, pending)
            stream.on_close = partial(self._left, link, pending, timer, in_session)
            return Reply(200, list(HEADERS), stream)
        status = 200
        if answer.code is not None and is_modern:
            status = _STATUS.get(answer.code, 200)
        return Reply(status, [_JSON], answer.body)

    def _left(
        self, link: Link, pending: Pending, timer: asyncio.TimerHandle, in_session: dict[bytes, Pending] | None
    ) -> None:
        # The one way out of a call: answered, refused, cancelled, or its stream closed (MCP-07).
        timer.cancel()
        link.give_up(pending, "the client went away")
        if in_session is not None and in_session.get(pending.raw_id) is pending:
            del in_session[pending.raw_id]

    # --- children

    async def _reach(self, call: Call) -> tuple[Supervisor, Link]:
        primary = self._primary
        if primary.link is not None and primary.link.mux.era == call.era and not primary.link.closed.is_set():
            return primary, primary.link  # the usual way, without another coroutine
        return await self.reach(call.era, call.deadline_s, lambda: _requested(call))

    async def reach(self, era: Era, deadline_s: float, requested: Callable[[], str] = str) -> tuple[Supervisor, Link]:
        """The child of `era` and its open link. Raises `EraUnavailable` or `UpstreamUnavailable`."""
        link = await self._primary.ready(deadline_s)
        opening = self._primary.opening
        if opening is not None and opening.era == era:
            return self._primary, link
        if era == "modern":
            raise EraUnavailable(requested(), LEGACY_VERSIONS, unavailable(self.name, "modern"))
        second = self._second or self._start_second()
        if second is None:
            detail = "max_children leaves this server no process for legacy clients."
            raise EraUnavailable(requested(), MODERN_VERSIONS, detail)
        try:
            link = await second.ready(deadline_s)
        except UpstreamUnavailable:
            if second.wrong_era:
                raise EraUnavailable(requested(), MODERN_VERSIONS, unavailable(self.name, "legacy")) from None
            raise
        return second, link

    def deadline_s(self, timeout_s: float) -> float:
        """A deadline from now, on the clock of calls."""
        return self._clock.monotonic() + timeout_s

    def _start_second(self) -> Supervisor | None:
        if self._config.max_children < 2:
            return None
        self._second = self._supervisor(handshake, self.legacy.reopened)
        self._tasks.start(self._second.run(), f"{self._config.transport}:{self.name}:legacy")
        return self._second

    def _supervisor(self, open_link: Callable[[Link, float], Any], on_open: Callable[[Link], None]) -> Supervisor:
        return Supervisor(
            self._config,
            open_link,
            clock=self._clock,
            chance=self._chance,
            connect=self._connect,
            broadcast=self.legacy.broadcast,
            on_open=on_open,
            events=self._events,
        )

    async def _open_primary(self, link: Link, timeout_s: float) -> Opening:
        try:
            return await (handshake if self._skips_probe else probe)(link, timeout_s)
        except WrongEra as wrong:
            # It was only a guess that the probe had ended it: the first child's era is never settled by that.
            self._skips_probe = False
            raise BadUpstream(why=wrong.why) from wrong
        except BadUpstream:
            if link.closed.is_set() and not self._is_relayed:
                # Some servers end at what they do not know: next time the other way. (A channel to the child's owner
                # ends whenever the child does, and tells nothing.)
                self._skips_probe = not self._skips_probe
            raise

    def _primary_opened(self, link: Link) -> None:
        if self._second is not None and self._second.wrong_era:
            self._second = None  # a new process may be a new version: ask again when someone needs it
        if link.mux.era == "legacy":
            self.legacy.reopened(link)

    def _task_failed(self, error: BaseException) -> None:
        self._events(f"{self._config.transport}.failed", {"server": self.name, "error": repr(error)})


def _requested(call: Call) -> str:
    meta = call.params.get("_meta")
    version = meta.get(META_VERSION) if type(meta) is dict else call.params.get("protocolVersion")
    return str(version or call.arrival.headers.text(b"mcp-protocol-version") or "")
