"""Answers that many get, as bytes: made once and not for each of them."""

from typing import Final

from mantlet.core.call import Reply
from mantlet.listeners.http import answer

MAX_CANNED: Final = 1024
"""Of one listener, each some 600 bytes. They live as long as the `Date` in them: a second."""


class Canned:
    """Those of one listener, of answers that keep the connection and go to no other origin's page."""

    __slots__ = ("_block", "_constant", "_made")

    def __init__(self, constant: answer.Constant) -> None:
        self._constant = constant
        self._block = b""
        self._made: dict[int, tuple[Reply, bytes]] = {}

    def of(self, reply: Reply, body: bytes) -> bytes:
        """The whole answer. `reply` must bring its request id, and be the same object each time."""
        if self._constant.block is not self._block:
            self._made.clear()
            self._block = self._constant.block
        # It is kept with its bytes: while it is, no other object has its identity.
        made = self._made.get(id(reply))
        if made is not None:
            return made[1]
        framing = b"content-length: %d\r\n" % len(body)
        head = answer.head(reply, self._constant, framing, request_id="", extra=(), is_http10=False, closes=False)
        whole = head + body
        if len(self._made) < MAX_CANNED:
            self._made[id(reply)] = (reply, whole)
        return whole
