"""Replies as header lists: what `listeners.http.answer` makes of them, in HTTP/2's shape."""

from typing import Final

from mantlet.core.call import Reply
from mantlet.listeners.http import answer
from mantlet.listeners.http.answer import Constant, Fields, UnsendableHeader

__all__ = ["UnsendableHeader", "head"]

_OF_CONNECTIONS: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})


def head(
    reply: Reply, constant: Constant, *, length: int | None, request_id: str, extra: Fields
) -> list[tuple[bytes, bytes]]:
    """The header list of an answer. Raises `UnsendableHeader`.

    Taken from the block of bytes that HTTP/1.1 sends, so that the rules for what an answer carries stand in one place;
    some 10 us beside the 200 that HTTP/2 costs anyway.
    """
    framing = b"" if length is None else b"content-length: %d\r\n" % length
    block = answer.head(reply, constant, framing, request_id=request_id, extra=extra, is_http10=False, closes=False)
    fields = [(b":status", b"%d" % reply.status)]
    for line in block.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        if (name := name.lower()) not in _OF_CONNECTIONS:
            fields.append((name, value.strip(b" \t")))
    return fields
