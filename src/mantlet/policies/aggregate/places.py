"""How many merged streams may be open in one process, in all and for one caller (MCP-07)."""

from collections import Counter
from collections.abc import Callable

from mantlet.core.caller import Caller
from mantlet.core.refusal import Overloaded


class Places:
    """Counts streams; each place taken is given back once."""

    def __init__(self, total: int, per_caller: int) -> None:
        self._total = total
        self._per_caller = per_caller
        self._taken: Counter[tuple[str, str, str]] = Counter()
        self.taken = 0

    @property
    def is_full(self) -> bool:
        """Whether all are taken, whoever has them."""
        return self.taken >= self._total

    def take(self, caller: Caller) -> Callable[[], None]:
        """A place, and what gives it back. Raises `Overloaded`."""
        key = caller.key
        if self.is_full:
            raise Overloaded(why=f"{self._total} streams are open (mcp.limits.max_streams)")
        if self._taken[key] >= self._per_caller:
            raise Overloaded(
                f"{self._per_caller} streams of this caller are open; close one first.",
                why=f"{self._per_caller} streams of one caller (mcp.limits.max_streams_per_caller)",
            )
        self.taken += 1
        self._taken[key] += 1
        is_open = True

        def leave() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self.taken -= 1
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]

        return leave
