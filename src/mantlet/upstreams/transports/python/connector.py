"""How a channel to a server in this process is opened, and on which loop it runs."""

from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.python.channel import PythonChannel
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.loading import load
from mantlet.upstreams.transports.python.own_loop import OwnLoop
from mantlet.upstreams.transports.python.serving import check_sdk

MAX_STUCK: Final = 4
"""Threads that a server's code may hold for ever (no thread can be ended from outside) before it gets no more."""


class PythonConnector:
    """A `Connect`. All channels of a server share one loop, as its objects may be bound to it.

    Raises `ValueError` when the object cannot be imported, or is no server.
    """

    def __init__(self, config: PythonServerConfig) -> None:
        check_sdk()
        self._config = config
        self._make = load(config.object)
        self._loop: OwnLoop | None = None
        self._stuck = 0

    async def __call__(self, reader: LineReader, _on_stderr: Callable[[str], None]) -> PythonChannel:
        """Open one; raises `UpstreamUnavailable`."""
        if self._stuck >= MAX_STUCK:
            raise UpstreamUnavailable(why=f"the server's code holds {self._stuck} threads and gives none back")
        if self._loop is None or self._loop.is_dead:
            self._loop = OwnLoop(f"python:{self._config.name}")
        self._loop.channels += 1
        return PythonChannel(self._config, reader, self._loop, self._make, self._ended)

    def _ended(self, loop: OwnLoop, is_stuck: bool) -> None:
        loop.channels -= 1
        if is_stuck:
            self._stuck += 1
        if is_stuck or not loop.channels:
            loop.stop()
            if self._loop is loop:
                self._loop = None
