"""How a process of a node is told to end."""

import asyncio
import signal
from collections.abc import Callable


def on_hangup(act: Callable[[], None]) -> None:
    """Have `act` called whenever the process is told to take up what changed in files (SIGHUP)."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def stop_signal() -> asyncio.Event:
    """Set when the process is told to end (SIGTERM, SIGINT)."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
