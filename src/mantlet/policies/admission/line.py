"""The line in front of the servers: bounded, by priority, and nobody's alone."""

from asyncio import Future
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mantlet.core.refusal import Overloaded
from mantlet.policies.admission.priority import HIGH, LOW
from mantlet.policies.admission.share import CROWD, fits

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting:
    """A call that waits. `number` says when it came."""

    place: Future[None]
    server: str
    principal: tuple[str, ...]
    priority: int
    number: int = field(init=False, default=0)


class Line:
    """Who waits for which server: first by priority, then in the order they came.

    Of `bound` places in it no principal and, where there are several, no server gets all (`share.fits`).
    """

    def __init__(self, bound: int, servers: int) -> None:
        self._bound = bound
        self._is_shared = servers > 1
        # Below what a server has, else one caller takes all of its part of the line.
        self._crowd = 1 if self._is_shared else CROWD
        self._lines: dict[tuple[int, str], OrderedDict[int, Waiting]] = {}
        self._of_principal: Counter[tuple[str, ...]] = Counter()
        self._of_server: Counter[str] = Counter()
        self._came = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def enter(self, waiting: Waiting) -> Waiting | None:
        """Let `waiting` in. Gives who has to leave for it: the last that came of a lower priority.

        Raises `Overloaded` when there is no room for it.
        """
        gives_way = None
        held, free = self._of_principal[waiting.principal], self._bound - self._length
        if free <= 0:
            gives_way = self._last_below(waiting.priority)
            if gives_way is None:
                raise Overloaded(why=f"{self._bound} calls wait (mcp.limits.max_queued_requests)")
            if held * 2 > self._bound:
                raise Overloaded(why="the caller has more than half of all calls that wait")
            self.leave(gives_way)
        elif not fits(held, free, self._crowd):
            raise Overloaded(why=f"{held} calls of the caller wait, and there is room for {free} more of all")
        elif self._is_shared and not fits(self._of_server[waiting.server], free):
            raise Overloaded(why=f"{self._of_server[waiting.server]} calls wait for this server")
        self._came += 1
        waiting.number = self._came
        self._lines.setdefault((waiting.priority, waiting.server), OrderedDict())[waiting.number] = waiting
        self._of_principal[waiting.principal] += 1
        self._of_server[waiting.server] += 1
        self._length += 1
        return gives_way

    def leave(self, waiting: Waiting) -> bool:
        """Take `waiting` out; whether it was in."""
        key = (waiting.priority, waiting.server)
        line = self._lines.get(key)
        if line is None or line.pop(waiting.number, None) is None:
            return False
        if not line:
            del self._lines[key]
        _uncount(self._of_principal, waiting.principal)
        _uncount(self._of_server, waiting.server)
        self._length -= 1
        return True

    def next(self, has_room: Callable[[str], bool]) -> Waiting | None:
        """Take out whose turn it is, of those whose server has room."""
        best: Waiting | None = None
        for (_, server), line in self._lines.items():
            first = next(iter(line.values()))
            if (best is None or (first.priority, first.number) < (best.priority, best.number)) and has_room(server):
                best = first
        if best is not None:
            self.leave(best)
        return best

    def _last_below(self, priority: int) -> Waiting | None:
        for lower in range(LOW, max(priority, HIGH), -1):
            last = [next(reversed(line.values())) for (at, _), line in self._lines.items() if at == lower]
            if last:
                return max(last, key=lambda waiting: waiting.number)
        return None


def _uncount(counter: Counter[T], one: T) -> None:
    counter[one] -= 1
    if not counter[one]:
        del counter[one]
