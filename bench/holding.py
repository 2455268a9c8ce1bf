"""Clients that hold connections and say next to nothing: a process of its own, `python -m bench.holding`.

Reads one JSON line, opens the connections, says `Opened`, and at the end what became of them. `start` is sent at once;
after that one byte of `trickle` every `every_s`, or nothing.
"""

import asyncio
import contextlib
import itertools
import os
import sys
import time
from typing import cast

import msgspec
import uvloop

from bench.rig.process import many_files

AT_ONCE = 100
"""Connections being opened: fewer than a listener's backlog."""
OPENING_S = 15.0
TICK_S = 0.03


class Holding(msgspec.Struct, kw_only=True):
    """What is held, from where, and for how long."""

    port: int
    count: int
    seconds: float
    """From when all are open."""
    sources: list[str]
    """Addresses, in turn."""
    start: str = ""
    """Bytes, as Latin-1."""
    trickle: str = ""
    every_s: float = 3.0
    answer: str = ""
    """What the peer must say first; the time of a connection counts from then."""


class Opened(msgspec.Struct, kw_only=True):
    """All were tried."""

    seconds: float
    held: int
    turned_away: int


class Ended(msgspec.Struct, kw_only=True):
    """What became of those that were held. Seconds from when each was open until the peer closed it."""

    closed: int
    still_open: int
    first_s: float
    last_s: float


class Held(asyncio.Protocol):
    """One connection."""

    def __init__(self, start: bytes, answer: bytes) -> None:
        self._start, self._answer = start, answer
        self.since_s = self.closed_s = 0.0
        self.is_held = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._start:
            self.transport.write(self._start)
        if not self._answer:
            self._begin(True)

    def data_received(self, data: bytes) -> None:
        if self._answer and not self.is_held.done():
            self._begin(data.startswith(self._answer))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed_s = time.monotonic()
        if not self.is_held.done():
            self.is_held.set_result(False)

    def _begin(self, is_held: bool) -> None:
        self.since_s = time.monotonic()
        self.is_held.set_result(is_held)


async def _open_all(holding: Holding) -> list[Held]:
    """All that could be opened."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(holding.count))
    made: list[Held] = []

    async def opener() -> None:
        for number in numbers:
            one = Held(holding.start.encode("latin-1"), holding.answer.encode())
            source = holding.sources[number % len(holding.sources)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(OPENING_S):
                    await loop.create_connection(lambda one=one: one, "127.0.0.1", holding.port, local_addr=(source, 0))
                    if await one.is_held:
                        made.append(one)

    await asyncio.gather(*(opener() for _ in range(AT_ONCE)))
    return made


async def hold(holding: Holding) -> None:
    """Open, say so, trickle, and say what became of them."""
    began_s = time.monotonic()
    held = await _open_all(holding)
    until_s = time.monotonic() + holding.seconds
    held = [one for one in held if not one.closed_s]
    _say(Opened(seconds=time.monotonic() - began_s, held=len(held), turned_away=holding.count - len(held)))
    turns = max(1, round(holding.every_s / TICK_S)) if holding.trickle else 1
    for turn in itertools.count():
        if (now_s := time.monotonic()) >= until_s:
            break
        if holding.trickle:
            said = holding.trickle[turn // turns % len(holding.trickle)].encode("latin-1")
            for one in held[turn % turns :: turns]:  # each at a time of its own: thousands at once are no trickle
                if not one.closed_s:
                    one.transport.write(said)
        await asyncio.sleep(min(TICK_S, until_s - now_s))
    took_s = sorted(one.closed_s - one.since_s for one in held if one.closed_s)
    ended = Ended(
        closed=len(took_s),
        still_open=len(held) - len(took_s),
        first_s=took_s[0] if took_s else 0.0,
        last_s=took_s[-1] if took_s else 0.0,
    )
    for one in held:
        one.transport.abort()
    _say(ended)


def _say(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Read what to do, and do it."""
    holding = msgspec.json.decode(sys.stdin.buffer.readline(), type=Holding)
    os.nice(5)  # it must not take the turn of those whose latency is measured
    many_files()
    uvloop.run(hold(holding))


if __name__ == "__main__":
    main()
