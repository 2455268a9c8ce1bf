"""Streams that last have places of their own, so that they never leave calls without a connection."""

from collections.abc import AsyncIterator

from mantlet.upstreams.room import Room


class Lasting(AsyncIterator[bytes]):
    """`source`, which has a place in `room` until it ends or is closed."""

    __slots__ = ("_room", "_source")

    def __init__(self, source: AsyncIterator[bytes], room: Room) -> None:
        self._source = source
        self._room: Room | None = room

    def __aiter__(self) -> "Lasting":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._source)
        except BaseException:  # its end, a break, or the cancellation that closes it
            self._leave()
            raise

    async def aclose(self) -> None:
        """Give up the rest."""
        self._leave()
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    def _leave(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.give_back()
