"""Lines of stderr, as notes for the log."""

from collections.abc import Callable, Mapping
from typing import Final

Events = Callable[[str, Mapping[str, object]], None]
"""Where notes for the log go: the event's name and its fields."""

MAX_EVENTS_PER_S: Final = 20
"""Lines that are logged; all go to the channel's ring, so that a chatty child cannot fill the log."""


class StderrNotes:
    """Called with each line of one server's children."""

    def __init__(self, transport: str, server: str, events: Events, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._server = server
        self._events = events
        self._monotonic = monotonic
        self._second = 0.0
        self._count = 0

    def __call__(self, line: str) -> None:
        """Log `line`, or count it."""
        second = self._monotonic() // 1
        if second != self._second:
            if self._count > MAX_EVENTS_PER_S:
                self._tell("stderr_skipped", lines=self._count - MAX_EVENTS_PER_S)
            self._second, self._count = second, 0
        self._count += 1
        if self._count <= MAX_EVENTS_PER_S:
            self._tell("stderr", line=line)

    def _tell(self, event: str, **fields: object) -> None:
        self._events(f"{self._transport}.{event}", {"server": self._server, **fields})
