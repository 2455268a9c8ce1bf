"""One address that floods: a process of its own, `python -m bench.flood`, driven by one JSON line on standard input.

Open loop: it offers `per_s` requests whatever comes back. `keep`: on connections that it keeps, as many ahead as their
sockets take. `churn`: each on a connection of its own. What could not be handed to the kernel is not offered.
"""

import contextlib
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

TICK_S = 0.005
MOST_OPEN = 2_000
"""Connections at once in `churn`."""


class Flood(msgspec.Struct, kw_only=True):
    """What is sent, from where, and how often."""

    port: int
    source: str
    requests: list[str]
    """Whole requests, taken in turn."""
    per_s: int
    seconds: float
    connections: int = 40
    how: Literal["keep", "churn"] = "keep"


class Flooded(msgspec.Struct, kw_only=True):
    """What became of it. `held` could not be sent, because the gateway did not read."""

    seconds: float
    sent: int
    held: int
    statuses: dict[str, int]


def _connect(flood: Flood) -> socket.socket | None:
    made = socket.socket()
    try:
        made.bind((flood.source, 0))
        made.connect(("127.0.0.1", flood.port))
    except OSError:
        made.close()
        return None
    made.setblocking(False)
    return made


class Keeper:
    """Connections that are kept, and opened anew when they are closed."""

    def __init__(self, flood: Flood, requests: Sequence[bytes]) -> None:
        self._flood, self._requests = flood, requests
        self._open = [one for _ in range(flood.connections) if (one := _connect(flood)) is not None]
        self._left: dict[socket.socket, bytes] = {}
        self._turn = 0
        self.statuses: Counter[str] = Counter()

    def send(self, count: int) -> int:
        """Offer `count` requests; how many were taken."""
        taken = 0
        share = -(-count // max(1, len(self._open)))
        for at, one in enumerate(self._open):
            if taken >= count:
                break
            many = min(share, count - taken)
            data = self._left.pop(one, b"")
            if not data:
                data = b"".join(self._requests[(self._turn + n) % len(self._requests)] for n in range(many))
                self._turn += many
                taken += many
            try:
                went = one.send(data)
            except BlockingIOError:
                went = 0
            except OSError:
                self._renew(at, one)
                continue
            if went < len(data):
                self._left[one] = data[went:]
        return taken

    def read(self) -> None:
        """Take what was answered."""
        for at, one in enumerate(list(self._open)):
            try:
                while got := one.recv(1 << 16):
                    _tally(got, self.statuses)
                self._renew(at, one)
            except BlockingIOError:
                continue
            except OSError:
                self._renew(at, one)

    def _renew(self, at: int, one: socket.socket) -> None:
        one.close()
        self._left.pop(one, None)
        self.statuses["closed"] += 1
        if (fresh := _connect(self._flood)) is not None:
            self._open[at] = fresh


class Churner:
    """A connection for each request."""

    def __init__(self, flood: Flood, requests: Sequence[bytes]) -> None:
        self._flood, self._requests = flood, requests
        self._open: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._turn = 0
        self.statuses: Counter[str] = Counter()

    def send(self, count: int) -> int:
        """As above."""
        taken = 0
        while taken < count and len(self._open) < MOST_OPEN:
            if (one := _connect(self._flood)) is None:
                break
            with contextlib.suppress(OSError):
                one.send(self._requests[self._turn % len(self._requests)])
            self._turn += 1
            taken += 1
            self._open[one.fileno()] = one
            self._poll.register(one, select.POLLIN)
        return taken

    def read(self) -> None:
        """As above."""
        for number, _ in self._poll.poll(0):
            one = self._open.pop(number)
            self._poll.unregister(one)
            with contextlib.suppress(OSError):
                _tally(one.recv(1 << 16) or b"", self.statuses)
            one.close()


def _tally(got: bytes, into: Counter[str]) -> None:
    for part in got.split(b"HTTP/1.1 ")[1:]:
        into[part[:3].decode("latin-1")] += 1


def run(flood: Flood) -> Flooded:
    """Flood for the time asked."""
    requests = [text.encode() for text in flood.requests]
    sender = Keeper(flood, requests) if flood.how == "keep" else Churner(flood, requests)
    started_s = now_s = time.perf_counter()
    sent = held = 0
    while now_s - started_s < flood.seconds:
        due = int((now_s - started_s) * flood.per_s) - sent - held
        taken = sender.send(due)
        sent, held = sent + taken, held + due - taken
        sender.read()
        time.sleep(max(0.0, TICK_S - (time.perf_counter() - now_s)))
        now_s = time.perf_counter()
    sender.read()
    return Flooded(seconds=now_s - started_s, sent=sent, held=held, statuses=dict(sender.statuses))


def main() -> None:
    """Read what to do, say that it is ready, and do it when told."""
    lines = sys.stdin.buffer
    flood = msgspec.json.decode(lines.readline(), type=Flood)
    # It must not take the turn of those whose latency is measured.
    os.nice(5)
    sys.stdout.buffer.write(msgspec.json.encode(run(flood)) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
