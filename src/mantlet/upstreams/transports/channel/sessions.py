"""Legacy sessions that the node itself keeps for a server that knows only one (MCP-04).

A session id is sealed: random bits, the time of issue and the protocol version, bound to server and caller. So any
process of the node can open it, and none has to remember it. What is remembered (subscriptions, calls in flight, the
open stream) is bounded, and lost without harm: the client's next use of the id starts it anew, empty.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import InvalidRequest, SessionNotFound
from mantlet.upstreams.transports.channel.mux import Pending
from mantlet.upstreams.transports.channel.session_ids import SessionIds
from mantlet.wire.event_stream import EventStream

MAX_ENDED: Final = 10_000
"""Ended ids remembered until they expire. Forgetting one lets its own caller, and nobody else, use it again."""
MAX_SUBSCRIPTIONS: Final = 1_000


@dataclass(slots=True, eq=False)
class Session:
    """What is remembered of one session."""

    caller: tuple[str, str, str]
    version: str
    expires_at_s: float
    pending: dict[bytes, Pending] = field(default_factory=dict)
    """Calls in flight by the client's id."""
    subscriptions: set[str] = field(default_factory=set)
    stream: EventStream | None = None


class Sessions:
    """The sessions of one server. `on_forget` hears of each session whose state is dropped, once."""

    def __init__(
        self,
        server: str,
        sealer: Sealer,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        max_sessions: int,
        on_forget: Callable[[Session], None],
    ) -> None:
        self._ids = SessionIds(server, sealer, clock, random_bytes)
        self._clock = clock
        self._max_sessions = max_sessions
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

    def find(self, identity: str, caller: Caller) -> Session:
        """The session of `identity`. Raises `InvalidRequest` without one, `SessionNotFound` for a foreign, forged,
        expired or ended one: they look alike."""
        if not identity:
            raise InvalidRequest("The Mcp-Session-Id header is missing; begin with initialize.")
        session = self._known.get(identity)
        if session is None:
            session = self._open(identity, caller)
        elif session.caller != caller.key:
            raise SessionNotFound()
        if session.expires_at_s <= self._clock.wall():
            self._forget(identity)
            raise SessionNotFound()
        self._known.move_to_end(identity)
        return session

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
        session = Session(caller.key, version=read[1], expires_at_s=read[0])
        self._known[identity] = session
        if len(self._known) > self._max_sessions:
            self._forget(next(iter(self._known)))
        return session

    def _forget(self, identity: str) -> None:
        session = self._known.pop(identity, None)
        if session is not None:
            self._on_forget(session)
