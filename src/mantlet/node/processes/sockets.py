"""The sockets that workers listen on: one of each door for each worker, all on one port.

They are the supervisor's, who hands them on: a worker that takes another's place goes on listening where that one has
listened, and nobody is lost who has just connected and was not yet accepted. The sockets of a worker that died are
closed, so that the kernel gives new connections to the others until it has a successor.
"""

import socket
from collections.abc import Mapping

from mantlet.listeners.http.listener import bound

Places = Mapping[str, tuple[str, int]]
"""Host and port by the door's name."""


class Sockets:
    """Of one node."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._of: dict[int, dict[str, socket.socket]] = {}

    def of(self, number: int) -> Mapping[str, socket.socket]:
        """Those of a worker, by the door's name."""
        if number not in self._of:
            self._of[number] = {name: bound(host, port, reuse_port=True) for name, (host, port) in self._places.items()}
        return self._of[number]

    def drop(self, number: int) -> None:
        """Close a worker's: it has died."""
        for one in self._of.pop(number, {}).values():
            one.close()

    def close(self) -> None:
        """Close all."""
        for number in list(self._of):
            self.drop(number)
