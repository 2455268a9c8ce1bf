"""All windows of one length, and a timing wheel that finds the expired ones without looking at the others."""

from typing import Final

from mantlet.core.ports import LimitKey
from mantlet.stores.window import SPAN, Window, advance, width_us

_SLOTS: Final = SPAN + 1


class Keyspace:
    """Keys whose windows have the same length.

    Every key stands in exactly one slot of the wheel, by the sub-bucket in which it was to expire when it was put
    there. A key that was used since is moved on when its slot comes up: a use costs nothing, a key is looked
    at about once a window. After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987).
    """

    __slots__ = ("_due", "_hand", "_seen", "_wheel", "width", "windows")

    def __init__(self, window_s: float) -> None:
        self.width = width_us(window_s)
        self.windows: dict[LimitKey, Window] = {}
        self._wheel: list[list[LimitKey]] = [[] for _ in range(_SLOTS)]
        self._due: list[LimitKey] = []
        """A slot that came up, while it is worked off."""
        self._hand = 0
        """The next sub-bucket number whose slot comes up."""
        self._seen = 0

    def enrol(self, key: LimitKey, bucket: int) -> None:
        """Put a new key on the wheel."""
        self._wheel[(bucket + SPAN) % _SLOTS].append(key)

    def sweep(self, bucket: int, budget: int) -> int:
        """Look at no more than `budget` keys due by sub-bucket `bucket`; gives how many were dropped."""
        if bucket < self._seen:
            # The clock stepped back: start over one turn before, where every slot comes up again in time.
            self._hand = min(self._hand, bucket)
        self._seen = bucket
        if bucket - self._hand > _SLOTS:
            self._hand = bucket - _SLOTS  # after a pause once around is enough
        dropped = 0
        due = self._due
        while budget:
            if not due:
                if self._hand > bucket:
                    break
                place = self._hand % _SLOTS
                self._hand += 1
                if not self._wheel[place]:
                    continue
                due = self._due = self._wheel[place]
                self._wheel[place] = []
            budget -= 1
            key = due.pop()
            window = self.windows.get(key)
            if window is None:
                continue
            if window.at > bucket:
                advance(window, bucket)  # the clock stepped back: it lasts one window from here, not until then
            if bucket - window.at >= SPAN:
                del self.windows[key]
                dropped += 1
            else:
                self._wheel[(window.at + SPAN) % _SLOTS].append(key)
        return dropped

    def forget(self, prefix: LimitKey) -> int:
        """Empty the windows under `prefix`. They stay on the wheel (once) and go when their turn comes."""
        size = len(prefix)
        found = 0
        for key, window in self.windows.items():
            if key[:size] == prefix and window.total:
                window.total = window.current = 0
                window.past = None
                found += 1
        return found
