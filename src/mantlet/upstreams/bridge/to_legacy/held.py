"""Calls that wait for what their server asked of the client: found again by a random ticket, once, and not for ever."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mantlet.core.refusal import Overloaded
from mantlet.upstreams.bridge.to_legacy.exchange import Exchange
from mantlet.upstreams.bridge.to_legacy.places import Places
from mantlet.upstreams.room import Room

TICKET_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class _Waiting:
    exchange: Exchange
    timer: asyncio.TimerHandle


class Held:
    """Those of one server in this process. `places` bounds them for all servers together, `room` for this one: each
    keeps a connection to it, and without any left even their answers could not be brought."""

    def __init__(
        self,
        places: Places,
        room: Room | None,
        timeout_s: float,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._places = places
        self._room = room
        self._timeout_s = timeout_s
        self._random_bytes = random_bytes
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, exchange: Exchange) -> str:
        """Keep `exchange` until it is taken or its time is over; gives the ticket. Raises `Overloaded`."""
        self._places.hold(exchange.session.caller.key)
        if self._room is not None and not self._room.take():
            self._places.let_go(exchange.session.caller.key)
            raise Overloaded(
                "Too many calls to this server wait for input already. Try again later.",
                why=f"{self._room.limit} streams and held calls are open with the server (max_streams)",
            )
        ticket = self._random_bytes(TICKET_BYTES).hex()
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire, ticket)
        self._waiting[ticket] = _Waiting(exchange, timer)
        return ticket

    def find(self, ticket: str) -> Exchange | None:
        """What waits under `ticket`; it goes on waiting."""
        waiting = self._waiting.get(ticket)
        return None if waiting is None else waiting.exchange

    def take(self, ticket: str) -> None:
        """It waits no longer, and nobody finds it again."""
        waiting = self._waiting.pop(ticket)
        waiting.timer.cancel()
        self._places.let_go(waiting.exchange.session.caller.key)
        if self._room is not None:
            self._room.give_back()

    def close(self) -> None:
        """Give all of them up."""
        for ticket in list(self._waiting):
            self._expire(ticket)

    def _expire(self, ticket: str) -> None:
        exchange = self._waiting[ticket].exchange
        self.take(ticket)
        exchange.leave()
