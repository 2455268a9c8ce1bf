"""`Post` through the pub/sub of Valkey: one subscription a process, whatever number of boxes it has."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.post import Boxes, new_address
from mantlet.stores.valkey.client import ValkeyClient, encode

PREFIX: Final = "mantlet:post:"
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
PING_S: Final = 5.0
"""A subscription is silent by nature: without this a dead connection would go unnoticed."""
_END_OF_BOX: Final = b"\n"


class ValkeyPost(Boxes):
    """Sends by `sender`, hears on a connection of its own, which only listens."""

    def __init__(
        self,
        url: str,
        sender: ValkeyClient,
        *,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
    ) -> None:
        super().__init__()
        self.address = new_address()
        self._sender = sender
        self._tasks = Tasks(on_error)
        self._listener = ValkeyClient(
            url,
            chance=chance,
            on_error=on_error,
            timeout_s=PING_S,
            greeting=[encode("SUBSCRIBE", PREFIX + self.address)],
            on_message=self._came,
        )

    async def start(self) -> None:
        """Begin to listen; goes on trying when the store is not there yet."""
        await self._listener.start()
        self._tasks.start(self._watch(), "post ping")

    async def stop(self) -> None:
        """Listen no longer."""
        await self._tasks.close()
        await self._listener.close()

    async def send(self, address: str, box: str, message: bytes, /) -> bool:
        """See the port. Raises `StoreUnavailable`."""
        if address == self.address:
            self.deliver(box, message)
            return True
        if len(message) > MAX_MESSAGE_BYTES:
            raise StoreUnavailable(why=f"a message of {len(message)} bytes is too large for the post")
        heard: int = await self._sender.call("PUBLISH", PREFIX + address, box.encode() + _END_OF_BOX + message)
        return heard > 0

    def _came(self, payload: bytes) -> None:
        box, _, message = payload.partition(_END_OF_BOX)
        self.deliver(box.decode("utf-8", "replace"), message)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            try:
                await self._listener.send(encode("PING"))
            except StoreUnavailable:
                continue  # it reconnects by itself
