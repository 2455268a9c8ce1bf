"""A channel of lines: a child's pipes, a socket, a WebSocket."""

from collections.abc import Awaitable, Callable, Iterable
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


class OwnedChannel(LineChannel, Protocol):
    """A channel with a life of its own, that whoever opened it also ends."""

    @property
    def pid(self) -> int | None:
        """The server's process, where it is known."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended, where that is known."""
        ...

    @property
    def last_lines(self) -> Iterable[str]:
        """The last lines of stderr."""
        ...

    def account(self) -> str:
        """How it ended, for people."""
        ...

    async def stop(self, timeout_s: float) -> None:
        """End it for certain, with `timeout_s` of patience; may be said again."""
        ...


Connect = Callable[[LineReader, Callable[[str], None]], Awaitable[OwnedChannel]]
"""Open a channel for a reader and for lines of stderr; raises `UpstreamUnavailable`."""
