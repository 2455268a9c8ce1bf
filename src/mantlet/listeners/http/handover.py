"""Giving a connection away to the protocol that its client asked for (RFC 9110 section 7.8)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mantlet.listeners.accept import Seat
from mantlet.listeners.http.door import Door, Guest


@dataclass(frozen=True, slots=True)
class Handover:
    """A connection whose HTTP is over. Whoever takes it is the door's guest from then on."""

    transport: asyncio.Transport
    door: Door
    seat: Seat
    id: int
    accepted_s: float
    rest: bytes
    """What the client sent behind its request."""

    def left(self, guest: Guest) -> None:
        """Give the seat back, once, when the connection is lost."""
        self.door.guests.discard(guest)
        self.seat.leave()


class Successor(Guest, Protocol):
    """What takes over: a guest of the door and the protocol of the transport."""

    def begin(self) -> None:
        """The answer is written and the transport is yours."""
        ...

    def data_received(self, data: bytes, /) -> None:
        """As `asyncio.Protocol`, like the rest of it."""
        ...


Upgrade = Callable[[Handover], Successor]
"""`core.call.Reply.upgrade`."""
