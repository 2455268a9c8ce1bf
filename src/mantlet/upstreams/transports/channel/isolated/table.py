"""The sessions of one server, each with its channel: begun, found, ended; never more than `max_children`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.refusal import BadUpstream, Overloaded, Refusal, SessionNotFound, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel.channel import Connect, OwnedChannel
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.exchange import Answer, Exchange
from mantlet.upstreams.transports.channel.isolated.session import Session
from mantlet.upstreams.transports.channel.opening import MODERN_ERRORS, WrongEra
from mantlet.upstreams.transports.channel.session_ids import LIFE_S, SessionIds
from mantlet.upstreams.transports.channel.stderr import Events, StderrNotes
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.inbound import SESSION_ID, without_session

EVICTABLE_IDLE_S: Final = 10.0
"""A session that rests for less is somebody's who is at work: it does not make room for another."""
MAX_SWEEP_S: Final = 5.0
_NOT_LEGACY: Final = MODERN_ERRORS | {-32601}
_FULL: Final = "All {} places for sessions with this server are taken. Try again later."


class SessionTable:
    """`occupied` gives how many channels to the server there are beside these sessions."""

    def __init__(
        self,
        config: ChannelConfig,
        ids: SessionIds,
        connect: Connect,
        *,
        clock: Clock,
        tasks: Tasks,
        events: Events,
        input_timeout_s: float,
        occupied: Callable[[], int],
    ) -> None:
        self._config = config
        self._ids = ids
        self._connect = connect
        self._clock = clock
        self._tasks = tasks
        self._events = events
        self._input_timeout_s = input_timeout_s
        self._occupied = occupied
        self._stderr = StderrNotes(config.transport, config.name, events, clock.monotonic)
        self._sessions: dict[str, Session] = {}
        self._opening = 0
        self._stopping: set[asyncio.Task[None]] = set()
        self._last_failure = ""
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def channels(self) -> int:
        """Channels that are open, being opened, or not yet gone."""
        return len(self._sessions) + self._opening + len(self._stopping)

    @property
    def last_failure(self) -> str:
        """Why the last channel could not be opened; empty when it could."""
        return self._last_failure

    def find(self, identity: str, caller: Caller, *, is_message: bool = False) -> Session:
        """Raises `InvalidRequest` without an id, `SessionNotFound` for a foreign, forged or ended one."""
        if not identity:
            raise without_session(is_message)
        session = self._sessions.get(identity)
        if session is None or session.caller != caller.key:
            raise SessionNotFound()
        if session.expires_at_s <= self._clock.wall():
            self.end(session, "its time is over")
            raise SessionNotFound()
        return session

    async def begin(self, call: Call) -> Reply:
        """Open a channel, forward `call`, an `initialize`, and keep the session if the server agrees.

        Raises `Overloaded`, `UpstreamUnavailable`, or `WrongEra` when the server knows no handshake.
        """
        await self._make_room(call.caller, call.deadline_s)
        session = Session(self._config, call, self._clock, self._input_timeout_s)
        self._opening += 1
        is_kept = False
        began_s = self._clock.monotonic()
        try:
            answered = await self._open(session, call)
            if answered.code in _NOT_LEGACY:
                raise WrongEra(why="the server refused initialize")
            if answered.code is not None:
                return Reply(200, [JSON], answered.body)  # what the client said of itself; its own to hear
            if self._is_closed:
                raise UpstreamUnavailable(why="the server is closed")
            session.identity = self._ids.mint(call.caller, _version(answered.body))
            session.expires_at_s = self._clock.wall() + LIFE_S
            self._sessions[session.identity] = session
            is_kept = True
            session.link.watchers.add(lambda why: self.end(session, why))
            if session.link.closed.is_set():  # it answered, and ended in the same turn
                self.end(session, session.link.why)
        finally:
            self._opening -= 1
            if not is_kept:
                self._retire(session.channel)
        self._tell("session_began", session, took_s=round(self._clock.monotonic() - began_s, 3))
        return Reply(200, [JSON, (SESSION_ID, session.identity.encode())], answered.body)

    def end(self, session: Session, why: str) -> None:
        """End `session`; said again it does nothing."""
        if self._sessions.pop(session.identity, None) is None:
            return
        self._tell("session_ended", session, reason=why)
        session.end(f"the session ended: {why}")
        self._retire(session.channel)

    async def sweep(self) -> None:
        """Again and again: end what rests for too long, and give up what no client answers."""
        interval_s = min(MAX_SWEEP_S, self._config.session_idle_timeout / 2)
        while True:
            await asyncio.sleep(interval_s)
            self.tidy()

    def tidy(self) -> None:
        """One round of it."""
        now_s = self._clock.wall()
        for session in list(self._sessions.values()):
            session.give_up_asks()
            if session.idle_s() >= self._config.session_idle_timeout:
                self.end(session, "idle")
            elif session.expires_at_s <= now_s:
                self.end(session, "its time is over")

    async def close(self) -> None:
        """End all of them, and their channels for certain. One that is being opened ends when it is open."""
        self._is_closed = True
        for session in list(self._sessions.values()):
            self.end(session, "the node stops")
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=2 * self._config.stop_timeout + 5)

    async def _open(self, session: Session, call: Call) -> Answer:
        assert call.id is not None
        link, exchange = session.link, Exchange(call.id)
        wait_s = min(self._config.start_timeout, max(0.0, call.deadline_s - self._clock.monotonic()))
        self._last_failure = "not open in time"
        try:
            async with asyncio.timeout(wait_s):
                session.channel = await self._connect(link, self._stderr)
                link.attach(session.channel)
                pending = link.open(call.body, call.id, call.caller.key, exchange)
                try:
                    answered = await exchange.first
                finally:
                    link.give_up(pending, "the client went away")
        except TimeoutError as error:
            raise UpstreamUnavailable("The server did not start in time.", why=f"not open in {wait_s:g} s") from error
        except BadUpstream as error:
            account = session.channel.account() if session.channel is not None else ""
            self._last_failure = f"{error.why}: {account}"
            raise UpstreamUnavailable("The server ended while it started.", why=self._last_failure) from error
        except Refusal as error:
            self._last_failure = error.why
            raise
        assert answered is not None  # without a stream there is nothing else
        self._last_failure = ""
        return answered

    # --- how many

    async def _make_room(self, caller: Caller, deadline_s: float) -> None:
        bound = self._config.max_children
        while self.channels + self._occupied() >= bound:
            if not self._stopping:
                longest_idle = self._evictable(caller)
                if longest_idle is None:
                    detail = _FULL.format(bound)
                    raise Overloaded(detail, why=f"{bound} channels are open (max_children)")
                self.end(longest_idle, "makes room for another")
            wait_s = deadline_s - self._clock.monotonic()
            done, _ = await asyncio.wait(self._stopping, timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise Overloaded(_FULL.format(bound), why="an ended session's channel is not gone yet")

    def _evictable(self, caller: Caller) -> Session | None:
        """Who makes room for a session of `caller`: one that rests, of whoever has most, the longest unused.

        Nobody who has as few as `caller`: else one that begins sessions all day would end those of all others.
        """
        now_s = self._clock.monotonic()
        held = Counter(session.caller for session in self._sessions.values())
        resting = [
            session
            for session in self._sessions.values()
            if not session.is_busy
            and now_s - session.last_used_s >= EVICTABLE_IDLE_S
            and (session.caller == caller.key or held[session.caller] > held[caller.key])
        ]
        # A client that holds its stream open is still there: it goes last.
        return min(
            resting,
            key=lambda session: (-held[session.caller], session.stream is not None, session.last_used_s),
            default=None,
        )

    def _retire(self, channel: OwnedChannel | None) -> None:
        if channel is None:
            return
        task = self._tasks.start(channel.stop(self._config.stop_timeout), f"stop:{self._config.name}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _tell(self, event: str, session: Session, **fields: object) -> None:
        pid = session.channel.pid if session.channel is not None else None
        name = f"{self._config.transport}.{event}"
        self._events(name, {"server": self._config.name, "caller": "/".join(session.caller), "pid": pid, **fields})


def _version(body: bytes) -> str:
    result = jsonrpc.decode(body)["result"]
    return str(result.get("protocolVersion"))[:32] if type(result) is dict else ""
