"""A server whose legacy sessions have a channel each; modern clients, who have no sessions, share one.

Which era the server speaks is found as for a shared one, on a channel that stays for modern calls and is closed again
when the server turns out to be legacy. What a modern server does with `initialize` shows when it gets one: the first
legacy client's own, or ours where a call comes that belongs to no session here.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from mantlet.core.call import Call, Era, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import EraUnavailable, InvalidRequest, Refusal, SessionNotFound, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel.carry import carry
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.isolated.table import SessionTable
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Mux
from mantlet.upstreams.transports.channel.opening import FirstOpening, Opening, WrongEra, handshake
from mantlet.upstreams.transports.channel.requested import requested
from mantlet.upstreams.transports.channel.session_ids import SessionIds
from mantlet.upstreams.transports.channel.stderr import Events
from mantlet.upstreams.transports.channel.supervisor import Supervisor
from mantlet.upstreams.transports.crossing import unavailable
from mantlet.wire.mcp.methods import LEGACY_VERSIONS, MODERN_VERSIONS

DEFAULT_INPUT_TIMEOUT_S = 300.0


class IsolatedServer:
    """One configured server with `isolation: session`. `start` before use, `close` at the end."""

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
        input_timeout_s: float = DEFAULT_INPUT_TIMEOUT_S,
    ) -> None:
        self._config = config
        self._clock = clock
        self._chance = chance
        self._connect = connect
        self._events = events
        self._tasks = Tasks(self._task_failed)
        self.sessions = SessionTable(
            config,
            SessionIds(config.name, sealer, clock, random_bytes),
            connect,
            clock=clock,
            tasks=self._tasks,
            events=events,
            input_timeout_s=input_timeout_s,
            occupied=self._beside,
        )
        self._first_opening = FirstOpening()
        self._is_legacy: bool | None = None
        """Whether the server knows legacy sessions; None while that is not known."""
        self._asking: asyncio.Task[None] | None = None
        self._modern = self._supervisor()
        self._modern_task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    @property
    def channels(self) -> int:
        """Open, being opened, or not yet gone."""
        return self.sessions.channels + self._beside()

    async def start(self) -> None:
        """Begin to find out what the server speaks; calls wait for it."""
        self._detect()
        self._tasks.start(self.sessions.sweep(), f"{self._config.transport}:{self.name}:sweep")

    async def close(self) -> None:
        """End every session, call and stream, and all channels."""
        self._is_closed = True
        await self.sessions.close()
        await self._tasks.close(grace_s=2 * self._config.stop_timeout + 5)

    def eras(self) -> frozenset[Era]:
        """The eras known to be served."""
        modern: frozenset[Era] = frozenset() if self._modern.opening is None else frozenset({"modern"})
        return modern | {"legacy"} if self._is_legacy else modern

    async def health(self) -> Mapping[str, Any]:
        """The shared channel's state, and how many sessions there are."""
        report: dict[str, Any] = {"name": self.name, "transport": self._config.transport, **self._modern.report()}
        if self._modern.wrong_era:
            failure = self.sessions.last_failure
            report |= {"state": "unhealthy" if failure else "healthy", "era": "legacy", "reason": failure}
        return {**report, "eras": sorted(self.eras()), "isolation": "session", "sessions": len(self.sessions)}

    # --- calls

    async def send(self, call: Call, /) -> Reply:
        """Carry `call`; see the port."""
        if self._is_closed:
            raise UpstreamUnavailable(why="the server is closed")
        if call.era == "modern":
            return await self._send_modern(call)
        if call.method == "initialize" and call.kind == "request" and call.id is not None:
            return await self._begin(call)
        try:
            session = self.sessions.find(call.session, call.caller, is_message=call.arrival.is_message)
        except (SessionNotFound, InvalidRequest):
            await self._require_legacy(call)  # if it knows no sessions at all, that is what to say
            raise
        if call.kind == "end":
            self.sessions.end(session, "its client ended it")
            return Reply(200, [])
        return await session.send(call)

    async def _send_modern(self, call: Call) -> Reply:
        link = self._modern.link
        if link is None or link.closed.is_set():
            try:
                link = await self._modern.ready(call.deadline_s)
            except UpstreamUnavailable:
                if self._modern.wrong_era:
                    text = unavailable(self.name, "modern")
                    raise EraUnavailable(requested(call), LEGACY_VERSIONS, text) from None
                raise
        if call.kind != "request" or call.id is None:
            return Reply(202, [])  # This revision defines no notification over HTTP; closing the stream cancels.
        return await carry(call, link, self._clock, None)

    async def _begin(self, call: Call) -> Reply:
        await self._settled(call.deadline_s)
        if self._is_legacy is False:
            self._refuse_legacy(call)
        try:
            reply = await self.sessions.begin(call)
        except WrongEra:
            if self._modern.wrong_era:
                self._modern = self._supervisor()  # it was legacy when it was asked: a new version must be
                self._detect()
            self._is_legacy = False
            self._refuse_legacy(call)
        self._is_legacy = True
        return reply

    async def _require_legacy(self, call: Call) -> None:
        await self._settled(call.deadline_s)
        if self._is_legacy is None:
            if self._asking is None:
                self._asking = self._tasks.start(self._ask_for_legacy(), f"{self._config.transport}:{self.name}:ask")
            wait_s = max(0.0, call.deadline_s - self._clock.monotonic())
            await asyncio.wait({self._asking}, timeout=wait_s)
        if self._is_legacy is False:
            self._refuse_legacy(call)
        if self._is_legacy is None:
            raise UpstreamUnavailable("The server is starting.", why="it is not known yet whether it has sessions")

    def _refuse_legacy(self, call: Call) -> None:
        raise EraUnavailable(requested(call), MODERN_VERSIONS, unavailable(self.name, "legacy"))

    # --- what the server speaks

    async def _settled(self, deadline_s: float) -> None:
        """Wait until it is known what the server's first channel is."""
        try:
            await self._modern.ready(deadline_s)
        except UpstreamUnavailable:
            if not self._modern.wrong_era and self._modern.opening is None:
                raise
        if self._modern.opening is not None and self._config.max_children < 2:
            self._is_legacy = False  # its one place is that of modern clients; the bridge makes these of the others
        if self._modern.wrong_era and self._modern_task is not None and not self._modern_task.done():
            # The channel that was opened to find out has its place until it is gone.
            await asyncio.wait({self._modern_task}, timeout=max(0.0, deadline_s - self._clock.monotonic()))

    async def _ask_for_legacy(self) -> None:
        """A handshake of our own on a channel of its own, which is closed after it."""
        link = Link(Mux(max_pending=1, broadcast=_nothing))
        channel = None
        try:
            async with asyncio.timeout(self._config.start_timeout):
                channel = await self._connect(link, _nothing)
                link.attach(channel)
                await handshake(link, self._config.start_timeout)
            self._is_legacy = True
        except WrongEra:
            self._is_legacy = False
        except (Refusal, TimeoutError):
            pass  # the next call asks again
        finally:
            if channel is not None:
                await channel.stop(self._config.stop_timeout)
            self._asking = None

    def _beside(self) -> int:
        """Channels that are no session's."""
        return (0 if self._modern.wrong_era else 1) + (1 if self._asking else 0)

    def _detect(self) -> None:
        self._modern_task = self._tasks.start(self._modern.run(), f"{self._config.transport}:{self.name}")

    def _supervisor(self) -> Supervisor:
        return Supervisor(
            self._config,
            self._open_first,
            clock=self._clock,
            chance=self._chance,
            connect=self._connect,
            broadcast=_nothing,
            on_open=self._opened,
            events=self._events,
        )

    async def _open_first(self, link: Link, timeout_s: float) -> Opening:
        opening = await self._first_opening(link, timeout_s)
        if opening.era == "legacy":
            self._is_legacy = True
            raise WrongEra(why="the server is legacy: each session has a channel of its own")
        return opening

    def _opened(self, _link: Link) -> None:
        if self._is_legacy is False:
            self._is_legacy = None  # a new process may be a new version: ask again when someone needs it

    def _task_failed(self, error: BaseException) -> None:
        self._events(f"{self._config.transport}.failed", {"server": self.name, "error": repr(error)})


def _nothing(*_: object) -> None:
    """Nobody hears it."""
