"""A TCP connection to the first of several addresses that takes it (RFC 8305).

By sockets and not by the loop's `create_connection`, so that what was checked is what is connected to, and a protocol
hears of one connection only, however many were tried.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mantlet.core.tasks import Tasks

ATTEMPT_DELAY_S: Final = 0.25
"""The head start of each address before the next (RFC 8305 section 5)."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The egress guard's: from a host and port to the addresses that may be connected to, best first. Raises a `Refusal`
for what must not be reached."""


async def reach(host: str, port: int, resolve: Resolve | None) -> socket.socket:
    """A connected, non-blocking socket. Raises the last `OSError` when no address takes it, or what `resolve` raises.

    Without `resolve` nothing is checked, which is for tests. A cancelled call leaves nothing open.
    """
    addresses = await _unguarded(host, port) if resolve is None else await resolve(host, port)
    if len(addresses) == 1:
        return await _connected(addresses[0], port)
    return await _first(addresses, port)


async def _first(addresses: Sequence[str], port: int) -> socket.socket:
    tasks = Tasks(lambda _error: None)
    waiting = list(reversed(addresses))
    begun: list[asyncio.Task[socket.socket]] = []
    chosen: socket.socket | None = None
    error: OSError = OSError("no address")
    try:
        while waiting or not all(attempt.done() for attempt in begun):
            if waiting:
                begun.append(tasks.start(_connected(waiting.pop(), port), "reach", tells_itself=True))
            under_way = [attempt for attempt in begun if not attempt.done()]
            timeout_s = ATTEMPT_DELAY_S if waiting else None
            done, _ = await asyncio.wait(under_way, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    chosen = attempt.result()
                    return chosen
                if not isinstance(failure, OSError):
                    raise failure
                error = failure
        raise error
    finally:
        for attempt in begun:
            attempt.cancel()
            attempt.add_done_callback(lambda ended: _drop(ended, chosen))


def _drop(attempt: "asyncio.Task[socket.socket]", chosen: socket.socket | None) -> None:
    if not attempt.cancelled() and attempt.exception() is None and attempt.result() is not chosen:
        attempt.result().close()


async def _connected(address: str, port: int) -> socket.socket:
    # The protocol is named, because asyncio sets TCP_NODELAY only where it is: a body in parts would wait for each ACK.
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


async def _unguarded(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
