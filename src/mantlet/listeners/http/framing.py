"""Where a request begins and ends in what a client sends: heads are cut off, bodies are fed (HTTP-01)."""

from typing import Final, cast

from mantlet.core.refusal import HeadersTooLarge
from mantlet.listeners.http.body import Body
from mantlet.listeners.http.config import HttpConfig
from mantlet.wire import http1

PIPELINED_BYTES: Final = 65536
"""What a client may send ahead while it is being answered, before its socket is left unread."""
_END: Final = b"\r\n\r\n"


class Ahead:
    """What one client has sent and no request has taken: part of a head, or requests ahead of their turn."""

    __slots__ = ("_scanned", "buffer")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._scanned = 0

    @property
    def is_too_much(self) -> bool:
        """Whether no more of it is to be read for now."""
        return len(self.buffer) > PIPELINED_BYTES

    def clear(self) -> None:
        """Throw it away."""
        self.buffer.clear()
        self._scanned = 0

    def head(self, data: bytes | bytearray, config: HttpConfig) -> tuple[bytes, bytes | None] | None:
        """The head at the beginning of `data`, the buffer or what came while that was empty, and what came behind it;
        None for the latter when it is in the buffer. None at all until a head is whole; what there is of it is kept.

        Raises `HeadersTooLarge`, `TargetTooLong` or `Malformed`, for a head that is not whole as soon as that is seen.
        """
        buffer = self.buffer
        end = data.find(_END, self._scanned) + len(_END)
        if end < len(_END):
            if data is not buffer:
                buffer += data
            http1.check_partial(
                buffer,
                self._scanned,
                max_header_bytes=config.max_header_bytes,
                max_target_bytes=config.max_target_bytes,
            )
            self._scanned = max(0, len(buffer) - 3)
            return None
        self._scanned = 0
        rest: bytes | None = None
        if data is buffer:
            # Cut off in place: copying the rest for each of many pipelined requests would be quadratic.
            block = bytes(data[:end])
            del buffer[:end]
        else:
            block = cast(bytes, data[:end])
            rest = cast(bytes, data[end:])
        if end > config.max_header_bytes:
            raise HeadersTooLarge
        return block, rest

    def feed(self, body: Body, rest: bytes | None) -> None:
        """Give `body` what came behind its head; what is not its own stays here."""
        buffer = self.buffer
        if rest:
            buffer += rest if body.is_complete else body.feed(rest)
        elif rest is None:
            while buffer and not (body.is_complete or body.is_failed):
                part = bytes(buffer[: body.wanted_bytes])
                del buffer[: len(part)]
                if surplus := body.feed(part):
                    buffer[:0] = surplus
