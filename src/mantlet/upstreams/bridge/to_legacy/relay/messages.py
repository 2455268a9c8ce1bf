"""What asker and holder tell each other."""

from typing import Any, Final

import msgspec


class Asking(msgspec.Struct, tag="ask", array_like=True):
    """To the holder: go on with the call, and send what comes to `box` at `address`."""

    address: str
    box: str
    ticket: str
    context: bytes
    raw_id: bytes
    capabilities: dict[str, Any]
    client: dict[str, Any]
    level: int
    token: bytes
    responses: dict[str, dict[str, Any]]


class Leaving(msgspec.Struct, tag="leave", array_like=True):
    """To the holder: the client that asked by `box` has left."""

    box: str


class Sign(msgspec.Struct, tag="sign", array_like=True):
    """From the holder: it is at work. `is_streaming` as in `leg.Source`."""

    is_streaming: bool


class Came(msgspec.Struct, tag="came", array_like=True):
    """From the holder: a notification."""

    data: bytes


class Answered(msgspec.Struct, tag="answer", array_like=True):
    """From the holder: the end of this leg."""

    status: int
    body: bytes


class Refused(msgspec.Struct, tag="refused", array_like=True):
    """From the holder: it cannot go on. `is_callers` tells whose fault it is."""

    is_callers: bool
    detail: str


ToHolder = Asking | Leaving
ToAsker = Sign | Came | Answered | Refused
_TO_HOLDER: Final[msgspec.msgpack.Decoder[ToHolder]] = msgspec.msgpack.Decoder(ToHolder)
_TO_ASKER: Final[msgspec.msgpack.Decoder[ToAsker]] = msgspec.msgpack.Decoder(ToAsker)
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError)


def box_of(server: str) -> str:
    """Where the holder of a server's calls is reached."""
    return f"to-legacy:{server}"


def written(message: ToHolder | ToAsker) -> bytes:
    """As it is sent."""
    return _ENCODE(message)


def read_by_holder(message: bytes) -> ToHolder | None:
    """What was sent; None for what is no such message."""
    try:
        return _TO_HOLDER.decode(message)
    except _FAULTS:
        return None


def read_by_asker(message: bytes) -> ToAsker | None:
    """What was sent; None for what is no such message."""
    try:
        return _TO_ASKER.decode(message)
    except _FAULTS:
        return None
