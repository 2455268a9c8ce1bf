"""What all connections of one listener share: how it was configured, who is connected, and the time."""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, Protocol

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.listeners.accept.seats import RESTED_S, Seats
from mantlet.listeners.http.answer import Constant
from mantlet.listeners.http.canned import Canned
from mantlet.listeners.http.config import HttpConfig
from mantlet.listeners.http.origin import Names
from mantlet.listeners.http.repeated import Budget
from mantlet.listeners.peer import X_FORWARDED_FOR, Network

Refuse = Callable[[Trail, Refusal], Awaitable[Reply]]
Told = Callable[[Arrival], Reply | None]
"""What a request is refused with, where nothing about it has to be found out any more. Cheap, and must not raise."""
Unanswered = Callable[[Trail, Refusal], None]
"""Records a refusal that is told to nobody."""
OnError = Callable[[BaseException, Trail | None], None]

NEVER_S: Final = math.inf
SWEEP_S: Final = 0.25
"""How late a deadline may be noticed. One timer a listener, instead of one a request (1.5 µs each)."""
EXPIRED_A_TURN: Final = 16
"""Connections let go in one turn of the loop. Thousands that end together, each with its record, would else keep all
others waiting for half a second."""
CROWD: Final = 64
"""When more than so many are late at once, those that never sent a whole head are closed without an answer: it costs
as much as all else about them."""

HOLD_S: Final = 1.0
"""How long a connection waits that is made to: one guess a second of each, where a flood would make thousands."""


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One open connection, for people. `caller` is the last request's, empty when none was authenticated."""

    id: int
    peer: str
    age_s: float
    requests: int
    bytes_in: int
    bytes_out: int
    in_flight: bool
    caller: str


class Guest(Protocol):
    """A connection, as its door sees it. Deadlines are on the monotonic clock; infinite when there is none."""

    receive_deadline_s: float
    write_deadline_s: float

    @property
    def rests_since_s(self) -> float:
        """When its last request was answered, where it may be closed for a newcomer; infinite where it may not."""
        ...

    def make_room(self) -> bool:
        """As `accept.Holder`."""
        ...

    def expire(self, now_s: float) -> None:
        """A deadline has passed."""
        ...

    def leave(self, linger_s: float = 0.0, /) -> None:
        """Close if idle, else after the answer in flight."""
        ...

    def abort(self) -> None:
        """Cancel the work and drop the connection."""
        ...

    def info(self, now_s: float) -> ConnectionInfo:
        """Tell about it."""
        ...


class Holding(Protocol):
    """A connection that is made to wait."""

    def release(self, closes: bool, /) -> None:
        """Its time is over; `closes` is what it was held with."""
        ...


@dataclass(slots=True)
class Door:
    """One listener's shared state. Touched by its event loop only."""

    config: HttpConfig
    handler: ArrivalHandler
    refuse: Refuse
    clock: Clock
    tasks: Tasks
    new_id: Callable[[], str]
    on_error: OnError
    name: str
    names: Names
    trusted: tuple[Network, ...]
    constant: Constant
    is_tls: bool = False
    forwarded: bytes = X_FORWARDED_FOR
    """The header in which `trusted` proxies are believed."""
    guests: set[Guest] = field(default_factory=set)
    seats: Seats = field(init=False)
    is_leaving: bool = False
    """Every answer is the last of its connection."""
    now_s: float = 0.0
    """Monotonic, as of the last sweep: good enough for idle times, and free."""
    served: int = 0
    """Connections so far; the next one's id."""
    held: deque[tuple[float, Holding, bool]] = field(default_factory=deque)
    """Connections that are not listened to, in the order in which they are again."""
    late: deque[Guest] = field(default_factory=deque)
    """Who was past a deadline when all were looked at, and has not had its turn."""
    repeated: Budget = field(default_factory=Budget)
    told: Told | None = None
    unanswered: Unanswered | None = None
    is_crowded: bool = False
    """More are late than can be answered beside everything else."""
    canned: Canned = field(init=False)
    max_body_bytes: int = 0
    """Of the largest body that any path takes: those that pass bodies on may take more than `config.max_body_bytes`."""

    def __post_init__(self) -> None:
        self.seats = Seats(self.config.max_connections, self.config.per_address_connections, self.trusted)
        self.canned = Canned(self.constant)
        self.max_body_bytes = max(self.max_body_bytes, self.config.max_body_bytes)

    def hold(self, guest: Holding, closes: bool) -> None:
        """Tell `guest` when `HOLD_S` are over, give or take a sweep; never more of them than connections."""
        self.held.append((self.now_s + HOLD_S, guest, closes))

    def sweep(self) -> bool:
        """Look at the clock once for everybody, and let go who is past a deadline (HTTP-05).

        Whether there are more of them than one turn takes: then it wants to be called again at once.
        """
        now_s = self.now_s = self.clock.monotonic()
        self.constant.refresh(self.clock.wall())
        if not self.late:
            self.late.extend(guest for guest in self.guests if _is_late(guest, now_s))
            self.is_crowded = len(self.late) > CROWD
        for _ in range(min(EXPIRED_A_TURN, len(self.late))):
            guest = self.late.popleft()
            if guest in self.guests and _is_late(guest, now_s):  # it may have gone on meanwhile
                guest.expire(now_s)
        if self.seats.is_scarce:
            self.seats.rest(self._rested(now_s - RESTED_S))
        while self.held and self.held[0][0] <= now_s:
            _, held, closes = self.held.popleft()
            held.release(closes)
        return bool(self.late)

    def _rested(self, since_s: float) -> list[Guest]:
        resting = [(at_s, guest) for guest in self.guests if (at_s := guest.rests_since_s) <= since_s]
        return [guest for _, guest in sorted(resting, key=itemgetter(0))]


def _is_late(guest: Guest, now_s: float) -> bool:
    return guest.receive_deadline_s <= now_s or guest.write_deadline_s <= now_s
