"""`Post` through the pub/sub of Valkey: one subscription a process, whatever number of boxes it has."""

from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.post import Boxes, new_address
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import parse
from mantlet.stores.valkey.client import Client
from mantlet.stores.valkey.slots import slot_of
from mantlet.stores.valkey.subscription import Subscription

PREFIX: Final = "mantlet:post:"
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_END_OF_BOX: Final = b"\n"


class ValkeyPost(Boxes):
    """Sends by `sender`, hears on a connection of its own, which only listens.

    In a cluster its channel has a slot (sharded pub/sub, Valkey or Redis 7.0 and newer): a message goes to the one
    server that the receiver listens at, and that server knows whether anybody does. A plain PUBLISH would go to all
    servers, and tell only of those that listen at the one it was sent to.
    """

    def __init__(
        self,
        url: str,
        sender: Client,
        *,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        access: Access | None = None,
    ) -> None:
        super().__init__()
        self.address = new_address()
        self._sender = sender
        place = parse(url)
        self._verb = "SPUBLISH" if place.kind == "cluster" else "PUBLISH"
        channel = PREFIX + self.address
        self._subscription = Subscription(
            place,
            channel,
            self._came,
            access=access or Access(),
            chance=chance,
            on_error=on_error,
            verb="SSUBSCRIBE" if place.kind == "cluster" else "SUBSCRIBE",
            locate=sender.locator(slot_of(channel)),
            is_master=place.kind == "sentinel",
        )
        sender.on_move(self._moved)

    async def start(self) -> None:
        """Begin to listen; goes on trying when the store is not there yet."""
        await self._subscription.start()

    async def stop(self) -> None:
        """Listen no longer."""
        await self._subscription.close()

    async def send(self, address: str, box: str, message: bytes, /) -> bool:
        """See the port. Raises `StoreUnavailable`."""
        if address == self.address:
            self.deliver(box, message)
            return True
        if len(message) > MAX_MESSAGE_BYTES:
            raise StoreUnavailable(why=f"a message of {len(message)} bytes is too large for the post")
        heard: int = await self._sender.call(self._verb, PREFIX + address, box.encode() + _END_OF_BOX + message)
        return heard > 0

    def _came(self, payload: bytes) -> None:
        box, _, message = payload.partition(_END_OF_BOX)
        self.deliver(box.decode("utf-8", "replace"), message)

    def _moved(self) -> None:
        # Wherever the channel is now: to listen anew takes a millisecond, to listen at the wrong server is to be deaf.
        self._subscription.client.abandon("the store's servers changed")
