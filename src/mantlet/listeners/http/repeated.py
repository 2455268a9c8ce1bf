"""Heads that a client has sent before on the same connection: read once, recognised after (8 us of 20 a call less).

An MCP client repeats its heads to the byte, but for the length of the body. So a head is looked up by all of its bytes
except those digits. What is found was read, judged and admitted whole; nothing is known of a head that differs.
"""

from typing import Final, NamedTuple

from mantlet.core.headers import Headers
from mantlet.wire.http1 import MAX_LENGTH_DIGITS

MAX_HEADS: Final = 4
"""Of one connection: a client that calls several tools in turn has one each."""
MAX_HEAD_BYTES: Final = 2048
MAX_KEPT: Final = 4096
"""Of one listener, 32 MiB at worst."""

_LENGTH: Final = b"ength: "
_FIELD: Final = b"content-length"
_STARTS: Final = (b"\ncontent-l", b"\nContent-L")


class Known(NamedTuple):
    """What a head said, apart from the length of its body, which `headers` lack."""

    verb: str
    path: str
    query: bytes
    headers: Headers
    peer: str


class Budget:
    """How many heads all connections of a listener hold."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept = 0


class Repeated:
    """The heads of one connection. They hold its credential, so they go when it goes."""

    __slots__ = ("_budget", "_heads")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._heads: dict[tuple[bytes, bytes], Known] = {}

    def find(self, block: bytes, length: int) -> Known | None:
        """What `block` says, if it came before and now announces `length` bytes."""
        before, _, after = block.partition(_LENGTH)
        digits, _, rest = after.partition(b"\r\n")
        known = self._heads.get((before, rest))
        if known is None or not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS or int(digits) != length:
            return None
        return known

    def keep(self, block: bytes, known: Known) -> None:
        """Remember what `block`, whose one Content-Length was accepted, says."""
        before, _, after = block.partition(_LENGTH)
        digits, _, rest = after.partition(b"\r\n")
        # The digits must be that field's whole value: in the line of another field they would mean something else.
        if not before.endswith(_STARTS) or known.headers.get(_FIELD) != digits or len(block) > MAX_HEAD_BYTES:
            return
        if len(self._heads) >= MAX_HEADS:
            self.forget()
        if self._budget.kept < MAX_KEPT:
            self._budget.kept += 1
            fields = [field for field in known.headers.fields if field[0] != _FIELD]
            self._heads[before, rest] = known._replace(headers=Headers(fields))

    def forget(self) -> None:
        """Keep none."""
        self._budget.kept -= len(self._heads)
        self._heads.clear()
