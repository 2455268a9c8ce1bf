"""A channel of lines: a child's pipes today, a socket to a process that owns the child as well."""

from typing import Protocol


class LineChannel(Protocol):
    """Where lines go. One line is one JSON-RPC message; a line carries its own line end."""

    def write_line(self, line: bytes) -> bool:
        """Send `line` in order, or give False when too much waits already or the channel is closed. Never blocks."""
        ...


class LineReader(Protocol):
    """Who hears a channel. All calls come from the event loop's thread, in order; none may raise."""

    def on_line(self, line: bytes, /) -> None:
        """A line came, without its line end."""
        ...

    def on_oversized(self, head: bytes, /) -> None:
        """A line was longer than the channel takes; `head` is how it began."""
        ...

    def on_closed(self, why: str, /) -> None:
        """The channel is gone, and nothing comes any more. Said once."""
        ...
