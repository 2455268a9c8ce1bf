"""Legacy sessions that the node itself keeps for a server that knows only one (MCP-04).

A session id is sealed: random bits, the time of issue and the protocol version, bound to server and caller. So any
process of the node can open it, and none has to remember it. What is remembered (subscriptions, calls in flight, the
open stream) is bounded, and lost without harm: the client's next use of the id starts it anew, empty.

One that rests for longer than `idle_s` is over. When it was last used is remembered for more sessions than what they
did, because it is small; whoever is forgotten even there was used longest ago, and counts as idle. A start of the node
counts as a use: nobody knows better.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import SessionNotFound
from mantlet.upstreams.transports.channel.mux import Pending
from mantlet.upstreams.transports.channel.session_ids import LIFE_S, SessionIds
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp.inbound import without_session

MAX_ENDED: Final = 10_000
"""Ended ids remembered until they expire. Forgetting one lets its own caller, and nobody else, use it again."""
MAX_SUBSCRIPTIONS: Final = 1_000
MAX_USED: Final = 100_000
"""Sessions of one server whose last use is remembered."""
_TIDIED_AT_ONCE: Final = 2


@dataclass(slots=True, eq=False)
class Session:
    """What is remembered of one session."""

    identity: str
    caller: tuple[str, str, str]
    version: str
    expires_at_s: float
    pending: dict[bytes, Pending] = field(default_factory=dict)
    """Calls in flight by the client's id."""
    subscriptions: set[str] = field(default_factory=set)
    stream: EventStream | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it cannot be idle, however long it takes."""
        return bool(self.pending) or self.stream is not None


class Sessions:
    """The sessions of one server. `on_forget` hears of each session whose state is dropped, once."""

    def __init__(
        self,
        server: str,
        sealer: Sealer,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        max_sessions: int,
        idle_s: float,
        on_forget: Callable[[Session], None],
    ) -> None:
        self._ids = SessionIds(server, sealer, clock, random_bytes)
        self._clock = clock
        self._max_sessions = max_sessions
        self._idle_s = idle_s
        self._started_s = clock.wall()
        self._used: OrderedDict[str, float] = OrderedDict()
        """When each was last used, on the wall clock, the longest unused first."""
        self._on_forget = on_forget
        self._known: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._known.values())

    def begin(self, caller: Caller, version: str) -> str:
        """A new session's id."""
        return self._ids.mint(caller, version)

    def find(self, identity: str, caller: Caller, *, is_message: bool = False) -> Session:
        """The session of `identity`. Raises `InvalidRequest` without one, `SessionNotFound` for a foreign, forged,
        expired, idle or ended one: they look alike."""
        if not identity:
            raise without_session(is_message)
        session = self._known.get(identity)
        if session is None:
            session = self._open(identity, caller)
        elif session.caller != caller.key:
            raise SessionNotFound()
        now_s = self._clock.wall()
        if session.expires_at_s <= now_s or self._is_idle(session, now_s):
            self._forget(identity)
            raise SessionNotFound()
        self.use(session)
        self._known.move_to_end(identity)
        return session

    def use(self, session: Session) -> None:
        """It is in use now, or has been until now."""
        self._used[session.identity] = self._clock.wall()
        self._used.move_to_end(session.identity)
        if len(self._used) > MAX_USED:
            self._used.popitem(last=False)

    def end(self, identity: str, caller: Caller) -> None:
        """The client is done; raises as `find` does."""
        self.find(identity, caller)
        self._ended[identity] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self._forget(identity)

    def clear(self) -> None:
        """Drop all state, as when the node stops."""
        for identity in list(self._known):
            self._forget(identity)

    def _open(self, identity: str, caller: Caller) -> Session:
        read = None if identity in self._ended else self._ids.read(identity, caller)
        if read is None:
            raise SessionNotFound()
        session = Session(identity, caller.key, version=read[1], expires_at_s=read[0])
        if self._is_idle(session, self._clock.wall()):
            raise SessionNotFound()
        self._tidy()
        self._known[identity] = session
        if len(self._known) > self._max_sessions:
            self._forget(next(iter(self._known)))
        return session

    def _is_idle(self, session: Session, now_s: float) -> bool:
        if session.is_busy:
            return False
        used_s = self._used.get(session.identity)
        if used_s is None:
            used_s = max(session.expires_at_s - LIFE_S, self._started_s)
        return now_s - used_s >= self._idle_s

    def _tidy(self) -> None:
        # A few with every newcomer: so what idle sessions leave behind does not pile up, and none walks them all.
        now_s = self._clock.wall()
        while self._used and now_s - next(iter(self._used.values())) > LIFE_S:
            self._used.popitem(last=False)
        for identity in list(itertools.islice(self._known, _TIDIED_AT_ONCE)):
            session = self._known[identity]
            if session.is_busy:
                self._known.move_to_end(identity)
            elif self._is_idle(session, now_s):
                self._forget(identity)

    def _forget(self, identity: str) -> None:
        session = self._known.pop(identity, None)
        if session is not None:
            self._on_forget(session)
