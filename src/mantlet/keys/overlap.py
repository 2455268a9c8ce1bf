"""Two generations of keys while one takes over from the other (CFG-04)."""

from collections.abc import Collection

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.keys.ring import KeyRing
from mantlet.wire.jws import Jws


class Overlap:
    """Checks as a `KeyRing` does: the new keys always, the old ones until an instant and not a moment longer."""

    def __init__(self, new: KeyRing, old: KeyRing, until_s: float, clock: Clock) -> None:
        self._new, self._old, self._until_s, self._wall = new, old, until_s, clock.wall

    def check(self, jws: Jws, /) -> str:
        """The name of the key that signed; raises `InvalidCredential` when none that is accepted now did."""
        try:
            return self._new.check(jws)
        except InvalidCredential:
            if self._wall() >= self._until_s:
                raise
            return self._old.check(jws)

    def names(self) -> Collection[str]:
        """Of the keys that are accepted now."""
        if self._wall() >= self._until_s:
            return self._new.names()
        return [*self._new.names(), *self._old.names()]
