"""What a conversation needs of the connection that carries it, and what all conversations of one door share."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import Overloaded, Refusal
from mantlet.core.tasks import Tasks


class Ending(Enum):
    """Why the node ends a connection."""

    DONE = "done"
    LEAVING = "the node is going away"
    IDLE = "idle for too long"
    LAPSED = "the credential no longer holds"
    ABUSE = "too many refused messages in a row"
    BLOCKED = "the address is blocked"
    SLOW = "a message was not whole in time"
    FAILED = "internal error"
    SESSION = "the session is gone"


class Carrier(Protocol):
    """One connection. All methods run on the loop; none blocks."""

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not keep up with what is sent."""
        ...

    def send(self, message: bytes, /) -> None:
        """Write one whole message. Nothing happens when the connection is gone."""
        ...

    async def writable(self) -> None:
        """Wait until the client has read enough of what was sent. Any number of tasks may wait."""
        ...

    def room(self) -> None:
        """The conversation takes messages again."""
        ...

    def close(self, ending: Ending, /) -> None:
        """End the connection after what is written."""
        ...


class Talk(Protocol):
    """A conversation, as whoever watches over all of them sees it."""

    caller: Caller
    carrier: Carrier

    def leave(self) -> None:
        """Take no more, and end once what is under way has been answered."""
        ...


def _holds(is_current: Callable[[Caller], bool], caller: Caller) -> bool:
    try:
        return is_current(caller)
    except Refusal:
        # The store gives no answer: new messages are refused then, and connections do not outlive them.
        return False


@dataclass(slots=True)
class Terms:
    """What all conversations of one door share. `handler` raises what it refuses; `refuse` only records it."""

    handler: ArrivalHandler
    refuse: Callable[[Trail, Refusal], Awaitable[Reply]]
    clock: Clock
    tasks: Tasks
    new_id: Callable[[], str]
    on_error: Callable[[BaseException, Trail | None], None]
    door: str
    request_timeout_s: float = 60.0
    max_in_flight: int = 64
    """Requests of one connection under way at once; as many more wait, and then its socket is left unread."""
    max_per_caller: int = 100
    """Open connections of one principal (RATE-06)."""
    max_refused: int = 20
    """Refused messages in a row (limits, malformed) after which a connection is closed."""
    is_tls: bool = False
    endings: set[asyncio.Task[None]] = field(default_factory=set)
    """Ends of sessions under way, of connections that are gone."""
    open: set["Talk"] = field(default_factory=set)
    """Conversations of open connections."""
    of_caller: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How many of them each principal has; never more keys than conversations."""
    dropped: int = 0
    """Messages of servers that belonged to no exchange of their connection (MCP-05)."""

    def check_room(self, caller: Caller) -> None:
        """Raise `Overloaded` when `caller` has as many connections as one may have."""
        if self.of_caller[caller.key] >= self.max_per_caller:
            raise Overloaded("This caller has too many open connections.")

    def came(self, talk: "Talk") -> None:
        """A conversation has begun."""
        self.open.add(talk)
        self.of_caller[talk.caller.key] += 1

    def gone(self, talk: "Talk") -> None:
        """It is over."""
        self.open.discard(talk)
        key = talk.caller.key
        self.of_caller[key] -= 1
        if self.of_caller[key] <= 0:
            del self.of_caller[key]

    def check(self, is_current: Callable[[Caller], bool]) -> int:
        """End connections whose caller's credential no longer holds; how many. Call it every few seconds (AUTHN-06)."""
        lapsed = [talk for talk in self.open if not _holds(is_current, talk.caller)]
        for talk in lapsed:
            talk.carrier.close(Ending.LAPSED)
        return len(lapsed)

    def leave(self) -> None:
        """Have every conversation take no more, and end with what it has under way (RES-05)."""
        for talk in list(self.open):
            talk.leave()

    async def ended(self, timeout_s: float) -> None:
        """Wait until the sessions of closed connections have ended, at most `timeout_s`."""
        if self.endings:
            await asyncio.wait(self.endings, timeout=timeout_s)


class Gate:
    """Waiting of many tasks until one writer has room again."""

    __slots__ = ("_waiters", "is_shut")

    def __init__(self) -> None:
        self.is_shut = False
        self._waiters: list[asyncio.Future[None]] = []

    def shut(self) -> None:
        """Whoever comes waits."""
        self.is_shut = True

    def open(self) -> None:
        """All go on."""
        self.is_shut = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def passed(self) -> None:
        """Return once it is open."""
        while self.is_shut:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
