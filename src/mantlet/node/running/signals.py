"""How a process of a node is told to end."""

import asyncio
import signal
from collections.abc import Callable


def pass_hangups() -> None:
    """Until `on_hangup`, let a SIGHUP do nothing: it would end a process that is starting. What it was sent for is not
    lost, as files that change during a start are noticed at its end. Programs that are started are not affected."""
    signal.signal(signal.SIGHUP, lambda number, frame: None)


def on_hangup(act: Callable[[], None]) -> None:
    """Have `act` called whenever the process is told to take up what changed in files (SIGHUP)."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def stop_signal() -> asyncio.Event:
    """Set when the process is told to end (SIGTERM, SIGINT)."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
