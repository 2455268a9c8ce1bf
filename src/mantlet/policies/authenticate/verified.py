"""What a credential was found to be, remembered for a short while (TOK-09, AUTHN-06).

Keyed by SHA-256 of the whole credential: never a prefix (CVE-2026-35030), and never the credential itself, which has no
business in memory that outlives its request. One table belongs to one `Authenticate`, hence to one configuration.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InsufficientScope, InvalidCredential

MAX_VERIFIED: Final = 10_000
"""About 1 KB each."""
MAX_REFUSED: Final = 4_096
REFUSED_S: Final = 2.0
"""How long a bad credential is bad without a second look: at most 5 s (TOK-09)."""


@dataclass(frozen=True, slots=True)
class Known:
    """A caller that holds until `fresh_until_s` (monotonic), and never past `dies_at_s` (Unix time)."""

    caller: Caller
    fresh_until_s: float
    dies_at_s: float


class Verified:
    """Bounded, least recently used first out; the two halves cannot push each other out."""

    def __init__(self, clock: Clock, max_verified: int = MAX_VERIFIED, max_refused: int = MAX_REFUSED) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, str, tuple[str, ...]]] = OrderedDict()
        self._max_known, self._max_refused = max_verified, max_refused

    @staticmethod
    def digest(credential: bytes, scheme: bytes = b"") -> bytes:
        """The key of `credential` here: under one scheme it may be good, and under another not."""
        return sha256(scheme + credential if scheme else credential).digest()

    def caller(self, digest: bytes) -> Caller | None:
        """Whose it is, if that is known and still holds now."""
        known = self._known.get(digest)
        if known is None:
            return None
        if self._clock.wall() >= known.dies_at_s or self._clock.monotonic() >= known.fresh_until_s:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known.caller

    def check(self, digest: bytes) -> None:
        """Raise again what it was refused with a moment ago, if it was."""
        refused = self._refused.get(digest)
        if refused is None or self._clock.monotonic() >= refused[0]:
            return
        _, why, scopes = refused
        raise InsufficientScope(scopes, why) if scopes else InvalidCredential(why)

    def keep(self, digest: bytes, caller: Caller, *, fresh_s: float, leeway_s: float) -> None:
        """Remember `caller` for at most `fresh_s`; what is good for one request takes no place of others."""
        if fresh_s <= 0:
            return
        ends_s = float("inf") if caller.expires_at_s is None else caller.expires_at_s + leeway_s
        self._known[digest] = Known(caller, self._clock.monotonic() + fresh_s, ends_s)
        self._known.move_to_end(digest)
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)

    def refuse(self, digest: bytes, why: str, scopes: tuple[str, ...] = ()) -> None:
        """Remember for `REFUSED_S` that it is bad, or that it lacks some of `scopes`.

        What is refused out of memory does not prolong it, or who keeps trying would never be looked at again.
        """
        now_s = self._clock.monotonic()
        standing = self._refused.get(digest)
        if standing is None or now_s >= standing[0]:
            self._refused[digest] = (now_s + REFUSED_S, why, scopes)
        self._refused.move_to_end(digest)
        if len(self._refused) > self._max_refused:
            self._refused.popitem(last=False)

    def drop(self, is_revoked: Callable[[Caller], bool]) -> None:
        """Forget those that `is_revoked` names: some 0.3 µs each, done when something new was revoked."""
        for digest in [digest for digest, known in self._known.items() if is_revoked(known.caller)]:
            del self._known[digest]

    def forget(self) -> None:
        """Look at everything anew: something was revoked or replaced."""
        self._known.clear()
        self._refused.clear()

    def __len__(self) -> int:
        return len(self._known) + len(self._refused)
