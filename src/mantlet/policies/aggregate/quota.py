"""How many sessions one caller may have in use at one worker: each has a place in the store and sessions behind it."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import Overloaded

MAX_PER_CALLER: Final = 1_000
MAX_CALLERS: Final = 20_000
"""Callers counted; with more, who came first is counted anew."""

Principal = tuple[str, str, str]


class Quota:
    """Counts the sessions of each caller, by when they were last used here: one that rests for `idle_s` makes room."""

    def __init__(self, monotonic: Callable[[], float], idle_s: float, per_caller: int = MAX_PER_CALLER) -> None:
        self._monotonic = monotonic
        self._idle_s = idle_s
        self._per_caller = per_caller
        self._used: OrderedDict[Principal, OrderedDict[str, float]] = OrderedDict()

    def use(self, caller: Principal, session: str) -> None:
        """A session is used. Raises `Overloaded` when it is one too many."""
        used = self._used.get(caller)
        if used is None:
            used = self._used[caller] = OrderedDict()
            if len(self._used) > MAX_CALLERS:
                self._used.popitem(last=False)
        now_s = self._monotonic()
        if session not in used:
            while used and now_s - next(iter(used.values())) > self._idle_s:
                used.popitem(last=False)
            if len(used) >= self._per_caller:
                raise Overloaded(
                    f"{self._per_caller} sessions of this caller are in use; end one first.",
                    why=f"{self._per_caller} sessions of one caller at /mcp",
                )
        used[session] = now_s
        used.move_to_end(session)

    def end(self, caller: Principal, session: str) -> None:
        """It counts no longer."""
        used = self._used.get(caller)
        if used is not None:
            used.pop(session, None)
            if not used:
                del self._used[caller]
