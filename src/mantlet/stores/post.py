"""`Post` of processes that live in one: for a node without workers there is nobody else to write to."""

import asyncio
import secrets
from collections.abc import MutableMapping
from typing import Final

from mantlet.core.ports import Heard

ADDRESS_BYTES: Final = 9


def new_address() -> str:
    """An address that nobody had before and nobody can guess: it stands in ids that clients see."""
    return secrets.token_urlsafe(ADDRESS_BYTES)


class Boxes:
    """Who in this process hears what. A message is handed over in a turn of its own, never inside its sender's."""

    def __init__(self) -> None:
        self._boxes: dict[str, Heard] = {}

    def open(self, box: str, heard: Heard, /) -> None:
        """See the port."""
        self._boxes[box] = heard

    def close(self, box: str, /) -> None:
        """See the port."""
        self._boxes.pop(box, None)

    def deliver(self, box: str, message: bytes) -> None:
        """Hand it over, if somebody still listens by then."""
        asyncio.get_running_loop().call_soon(self._hand_over, box, message)

    def _hand_over(self, box: str, message: bytes) -> None:
        heard = self._boxes.get(box)
        if heard is not None:
            heard(message)


class LocalPost(Boxes):
    """`houses` are all that can be reached; one of its own is a process by itself."""

    def __init__(self, houses: MutableMapping[str, "LocalPost"] | None = None) -> None:
        super().__init__()
        self._houses: MutableMapping[str, LocalPost] = {} if houses is None else houses
        self.address = new_address()
        self._houses[self.address] = self

    async def send(self, address: str, box: str, message: bytes, /) -> bool:
        """See the port."""
        there = self._houses.get(address)
        if there is None:
            return False
        there.deliver(box, message)
        return True

    def leave(self) -> None:
        """Be reached no longer, as a process that ended."""
        self._houses.pop(self.address, None)
