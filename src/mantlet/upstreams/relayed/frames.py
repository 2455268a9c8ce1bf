"""What the two processes say to each other: a length, then one of these as MessagePack. Pure.

A call is known by a number that the worker gives; what belongs to it names it. Only processes of one node and version
talk so: they are started together.
"""

from typing import Final, Literal

import msgspec

from mantlet.core.call import Era, Kind
from mantlet.core.caller import CallerKind

LENGTH_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
"""No frame of ours comes near: what goes in is bounded by the doors, what comes out by `max_line_bytes`."""


class Frame(msgspec.Struct, array_like=True, tag=True):
    """`number` tells which call it is about."""

    number: int


class Asked(Frame):
    """A call. What neither server nor bridge need (peer, credential, most headers) stays behind."""

    caller: tuple[str, str, str, CallerKind, frozenset[str], frozenset[str], tuple[str, ...]]
    """Tenant, issuer, subject, kind, roles, scopes, act."""
    kind: Kind
    era: Era
    server: str
    method: str
    target: str
    id: bytes | None
    session: str
    remaining_s: float
    headers: list[tuple[bytes, bytes]]
    is_message: bool
    request_id: str
    body: bytes


class GivenUp(Frame):
    """The worker's client is gone."""


class Taken(Frame):
    """So many bytes of a stream have been read."""

    size: int


class HealthAsked(Frame):
    """How is the server?"""


class Replied(Frame):
    """The reply; `body` is None when chunks follow."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | None


class Chunk(Frame):
    """More of a stream."""

    data: bytes


class Ended(Frame):
    """The end of a stream."""


class Refused(Frame):
    """A refusal in the place of a reply."""

    reason: str
    """Its class."""
    detail: str
    why: str
    requested: str = ""
    supported: tuple[str, ...] = ()
    said: Literal["", "no", "busy"] = ""
    """Of a `BadUpstream`."""


class Health(Frame):
    """The server's health, as JSON."""

    report: bytes


ToOwner = Asked | GivenUp | Taken | HealthAsked
ToWorker = Replied | Chunk | Ended | Refused | Health

_encode: Final = msgspec.msgpack.Encoder().encode
read_at_owner: Final = msgspec.msgpack.Decoder(ToOwner).decode
read_at_worker: Final = msgspec.msgpack.Decoder(ToWorker).decode


def framed(frame: Frame) -> bytes:
    """`frame` with its length before it."""
    data = _encode(frame)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class FrameSplitter:
    """Chunks in, whole frames out. Raises `ValueError` for a length that cannot be."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that `chunk` completes."""
        data: bytes | bytearray = chunk
        if self._buffer:
            self._buffer += chunk
            data = self._buffer
        frames: list[bytes] = []
        start, size = 0, len(data)
        while size - start >= LENGTH_BYTES:
            length = int.from_bytes(data[start : start + LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise ValueError("frame too large")
            end = start + LENGTH_BYTES + length
            if end > size:
                break
            frames.append(bytes(data[start + LENGTH_BYTES : end]))
            start = end
        if data is self._buffer:
            del self._buffer[:start]
        else:
            self._buffer += data[start:]
        return frames
