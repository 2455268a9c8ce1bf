"""How much a client may send that asks for nothing: pure figures, no frames (CVE-2023-44487 and its kin).

Every frame that is not a request, a body or what keeps an answer flowing costs points. They leak away with time and
with work that was really done; a client that has spent them all is told to calm down, and its connection ends.
"""

from typing import Final

from mantlet.wire.http2 import codes

MAX_POINTS: Final = 200.0
LEAK_PER_S: Final = 20.0

PING: Final = 1.0
PRIORITY: Final = 1.0
UNKNOWN: Final = 1.0
CONTINUATION: Final = 1.0
WINDOW_UPDATE: Final = 1.0
"""Beyond two for each frame of an answer, which is what a client needs."""
EMPTY_DATA: Final = 1.0
SMALL_DATA: Final = 0.25
"""A body in crumbs costs us many times what it costs to send."""
SMALL_BYTES: Final = 128
RESET: Final = 2.0
"""A request taken back, or made so that we take it back: a hundred at once, ten a second (CVE-2023-44487,
CVE-2025-8671)."""
REFUSED_BY_SERVER: Final = 0.5
REFUSED: Final = 2.0
"""A stream above the agreed number."""
SETTINGS: Final = 10.0
GOAWAY: Final = 10.0
ANSWERED: Final = 1.0
"""Given back for a request that was answered."""


class Abuse(Exception):
    """The connection must end. `code` is for its GOAWAY frame; `why` for the record."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


class Points:
    """What one connection has spent."""

    __slots__ = ("_at_s", "_spent", "_updates")

    def __init__(self, now_s: float) -> None:
        self._spent = 0.0
        self._at_s = now_s
        self._updates = 32

    def spend(self, points: float, what: str, now_s: float) -> None:
        """Count `points`; raises `Abuse` when there are none left."""
        if now_s > self._at_s:
            self._spent = max(0.0, self._spent - (now_s - self._at_s) * LEAK_PER_S)
            self._at_s = now_s
        self._spent += points
        if self._spent > MAX_POINTS:
            raise Abuse(codes.ENHANCE_YOUR_CALM, f"too much of {what}")

    def answered(self) -> None:
        """A request was answered whole."""
        self._spent = max(0.0, self._spent - ANSWERED)

    def sent_data(self) -> None:
        """A frame of an answer was sent: the client will make room for more, for the stream and the connection."""
        self._updates = min(self._updates + 2, 10_000)

    def window_update(self, now_s: float) -> None:
        """The client has made room."""
        if self._updates > 0:
            self._updates -= 1
        else:
            self.spend(WINDOW_UPDATE, "WINDOW_UPDATE", now_s)
