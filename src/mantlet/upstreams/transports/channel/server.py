"""A server behind a channel as an `Upstream`: both eras over HTTP in front, one or two shared channels behind.

The child that the server is first started with decides its era; if it is modern, legacy clients get a second child,
started when the first of them comes. What a legacy session needs (handshake, ping, session id, its stream) is answered
here, see `legacy.py`. Every call that goes further goes under an id of ours and comes back under its own (MCP-05).
"""

import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from mantlet.core.call import Call, Era, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import EraUnavailable, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel.carry import carry
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.legacy import LegacySide
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.opening import FirstOpening, Opening, handshake
from mantlet.upstreams.transports.channel.requested import requested
from mantlet.upstreams.transports.channel.stderr import Events
from mantlet.upstreams.transports.channel.supervisor import Supervisor
from mantlet.upstreams.transports.crossing import unavailable
from mantlet.wire.mcp.methods import LEGACY_VERSIONS, MODERN_VERSIONS


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
        session_idle_s: float = 3_600.0,
        events: Events = lambda _event, _fields: None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._chance = chance
        self._connect = connect
        self._events = events
        self._tasks = Tasks(self._task_failed)
        self.legacy = LegacySide(config, sealer, clock, random_bytes, session_idle_s=session_idle_s)
        self._primary = self._supervisor(FirstOpening(), self._primary_opened)
        self._second: Supervisor | None = None
        self._is_closed = False

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    @property
    def channels(self) -> int:
        """Those that are open."""
        both = (self._primary, self._second)
        return sum(supervisor is not None and supervisor.link is not None for supervisor in both)

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
        if not self._knows_legacy():
            await self._reach(call)  # if it knows no sessions at all, that is what to say
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
        return await carry(call, link, self._clock, session.pending)

    async def _modern(self, call: Call) -> Reply:
        if call.kind != "request" or call.id is None:
            if self._primary.opening is not None and self._primary.opening.era == "legacy":
                await self._reach(call)
            return Reply(202, [])  # This revision defines no notification over HTTP; closing the stream cancels.
        _, link = await self._reach(call)
        return await carry(call, link, self._clock, None)

    # --- children

    def _knows_legacy(self) -> bool:
        opening = self._primary.opening
        if opening is None:
            return False
        return opening.era == "legacy" or (self._second is not None and self._second.opening is not None)

    async def _reach(self, call: Call) -> tuple[Supervisor, Link]:
        primary = self._primary
        if primary.link is not None and primary.link.mux.era == call.era and not primary.link.closed.is_set():
            return primary, primary.link  # the usual way, without another coroutine
        link = await primary.ready(call.deadline_s)
        if primary.opening is not None and primary.opening.era == call.era:
            return primary, link
        if call.era == "modern":
            raise EraUnavailable(requested(call), LEGACY_VERSIONS, unavailable(self.name, "modern"))
        second = self._second or self._start_second()
        if second is None:
            detail = "max_children leaves this server no process for legacy clients."
            raise EraUnavailable(requested(call), MODERN_VERSIONS, detail)
        try:
            link = await second.ready(call.deadline_s)
        except UpstreamUnavailable:
            if second.wrong_era:
                raise EraUnavailable(requested(call), MODERN_VERSIONS, unavailable(self.name, "legacy")) from None
            raise
        return second, link

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

    def _primary_opened(self, link: Link) -> None:
        if self._second is not None and self._second.wrong_era:
            self._second = None  # a new process may be a new version: ask again when someone needs it
        if link.mux.era == "legacy":
            self.legacy.reopened(link)

    def _task_failed(self, error: BaseException) -> None:
        self._events(f"{self._config.transport}.failed", {"server": self.name, "error": repr(error)})
