"""Refusals that are told together: one address, one reason, one second, one record with a number (AUD-01).

An address that may not be listened to is refused whatever it sends. That is decided once a second, by a request that
takes the whole path and has its own record; those that follow within the second get that answer again, its request id
included, and are counted. The number is written when the second is over. So a flood that comes through a proxy, whose
connection cannot be left unread, costs neither a record nor an answer each, and every request id that was given out is
in the trail exactly once.

A process that is killed loses the number of its last second, and never a request that was let through.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.ports import Journal
from mantlet.core.record import Record, Trail
from mantlet.core.refusal import AuditUnavailable

SECOND_S: Final = 1.0
MAX_SOURCES: Final = 4096
"""Told together at once; those beyond have a record for each request."""
EVENT: Final = "calls.refused"
PUBLIC: Final = ("/.well-known/", "/oauth/")
"""What strangers are answered before anybody asks for a credential: there a judge of credentials is wrong."""
_REFUSED: Final = frozenset({403, 429})

Judge = Callable[[Arrival], str]
"""The source of a request that is going to be refused whatever it says; empty for all others. No IO, and cheap."""


class Counted(Protocol):
    """Where figures go."""

    def count(self, family: str, /, *labels: str, by: float = 1) -> None:
        """Count."""
        ...


@dataclass(slots=True)
class Second:
    """What one source was told, and how many got it again."""

    ends_s: float
    trail: Trail
    reply: Reply
    more: int = 0


class Tally:
    """Stands before everything else; costs a request of anybody else what its judges cost."""

    def __init__(self, judges: Sequence[Judge], journal: Journal, clock: Clock, counted: Counted) -> None:
        self._judges = tuple(judges)
        self._journal, self._counted = journal, counted
        self._wall, self._now = clock.wall, clock.monotonic
        self._seconds: dict[str, Second] = {}

    def before(self, onward: ArrivalHandler) -> ArrivalHandler:
        """`onward`, for whom it is not decided already."""
        judges = self._judges

        def handle(arrival: Arrival) -> Awaitable[Reply]:
            for judge in judges:
                if (source := judge(arrival)) and not arrival.path.startswith(PUBLIC):
                    return self._refused(source, arrival, onward)
            return onward(arrival)

        return handle

    def told(self, arrival: Arrival) -> Reply | None:
        """What `arrival` is refused with, where that is decided already; counted like the others.

        For doors that can answer at once: without a task, and with bytes that were made before.
        """
        if not self._seconds:
            return None
        for judge in self._judges:
            if source := judge(arrival):
                second = self._running(source)
                if second is None or arrival.path.startswith(PUBLIC):
                    return None
                second.more += 1
                return second.reply
        return None

    def _running(self, source: str) -> Second | None:
        second = self._seconds.get(source)
        return second if second is not None and self._now() < second.ends_s and self._journal.is_able else None

    async def _refused(self, source: str, arrival: Arrival, onward: ArrivalHandler) -> Reply:
        if (second := self._running(source)) is not None:
            second.more += 1
            told = second.reply
            return Reply(told.status, told.headers, told.body, origin="node", holds=told.holds)
        reply = await onward(arrival)
        # A judge may be wrong by a moment: only what was refused is told again.
        if reply.status in _REFUSED and isinstance(reply.body, bytes) and reply.origin == "node":
            self._keep(source, Second(self._now() + SECOND_S, arrival.trail, reply))
        return reply

    def _keep(self, source: str, second: Second) -> None:
        before = self._seconds.get(source)
        if before is not None:
            second.more = before.more  # of one that is over, or of one that another request has begun meanwhile
        elif len(self._seconds) >= MAX_SOURCES:
            return
        self._seconds[source] = second

    async def write(self, *, is_last: bool = False) -> None:
        """Write the numbers of the seconds that are over. Call it every second; raises `AuditUnavailable`."""
        now_s = self._now()
        for source, second in list(self._seconds.items()):
            if now_s < second.ends_s and not is_last:
                continue
            if second.more:
                number, second.more = second.more, 0
                try:
                    await self._journal.append(self._record(source, second.trail, second.reply.status, number))
                except AuditUnavailable:
                    second.more += number  # told when it can be
                    raise
                self._counted.count("mantlet_refusals_told_together", second.trail.door, by=number)
            if self._seconds.get(source) is second and not second.more:
                del self._seconds[source]

    def _record(self, source: str, first: Trail, status: int, number: int) -> Record:
        trail = Trail("", first.door, first.peer, self._wall(), EVENT, source, rule=first.rule)
        trail.notes = {"count": str(number), "as": first.request_id}
        reason = "blocked" if status == 403 else "rate_limited"
        return Record(trail, "deny", reason, f"{number} more, answered as {first.request_id}", status, event=EVENT)
