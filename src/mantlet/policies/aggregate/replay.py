"""The last events of a session's stream, for a client whose connection broke to go on where it was (2025-11-25,
basic/transports, "Resumability and Redelivery"). Pure.

An event's id is `TOKEN.NUMBER`: the token is the stream's own and means nothing in another session.
"""

import re
from collections import deque
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

MAX_EVENTS: Final = 256
MAX_BYTES: Final = 262_144
"""Kept of one stream, in all."""
_ID: Final = re.compile(r"([A-Za-z0-9_-]{16})\.([0-9]{1,15})")


class Point(NamedTuple):
    """Where a client was: the last event that it has."""

    token: str
    number: int


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    number: int
    server: str
    """Empty for what is said of all."""
    message: bytes


class _Packed(msgspec.Struct, array_like=True):
    token: str
    number: int
    kept: list[_Kept]


_DECODER: Final = msgspec.msgpack.Decoder(_Packed)


def read(last_event_id: str | None) -> Point | None:
    """The point that a `Last-Event-ID` names, or None for another's."""
    found = _ID.fullmatch(last_event_id or "")
    return None if found is None else Point(found[1], int(found[2]))


class Replay:
    """Numbers events and keeps the last ones. `token` is 16 characters of base64url."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.number = 0
        self._kept: deque[_Kept] = deque()
        self._bytes = 0

    def keep(self, server: str, message: bytes) -> bytes:
        """The id of the next event, which is `message` of `server`."""
        self.number += 1
        self._kept.append(_Kept(self.number, server, message))
        self._bytes += len(message)
        while len(self._kept) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._bytes -= len(self._kept.popleft().message)
        return self.id_of(self.number)

    def id_of(self, number: int) -> bytes:
        """The id of the event with this number."""
        return f"{self.token}.{number}".encode()

    def has_all_after(self, number: int) -> bool:
        """Whether nothing is lost of what came after that event. False for an event that never was."""
        first = self._kept[0].number if self._kept else self.number + 1
        return first - 1 <= number <= self.number

    def after(self, number: int, servers: Collection[str]) -> Iterator[tuple[bytes, bytes]]:
        """(id, message) of what is kept and came later, of `servers` and of all: whom the caller may hear by now."""
        for kept in self._kept:
            if kept.number > number and (not kept.server or kept.server in servers):
                yield self.id_of(kept.number), kept.message

    def packed(self) -> bytes:
        """All that another worker needs to go on with it."""
        return msgspec.msgpack.encode(_Packed(self.token, self.number, list(self._kept)))


def unpacked(packed: bytes) -> Replay:
    """What another worker had. Raises `msgspec.MsgspecError`."""
    found = _DECODER.decode(packed)
    made = Replay(found.token)
    made.number = found.number
    made._kept.extend(found.kept)
    made._bytes = sum(len(kept.message) for kept in found.kept)
    return made
