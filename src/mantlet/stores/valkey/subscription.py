"""A connection that only listens, to one channel."""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import Place
from mantlet.stores.valkey.client import Locate, ValkeyClient, encode

PING_S: Final = 5.0
"""A subscription is silent by nature: without this a dead connection would go unnoticed."""


class Subscription:
    """Hears `channel`, reconnected for ever; what is published meanwhile is lost."""

    def __init__(
        self,
        place: Place,
        channel: str,
        heard: Callable[[bytes], None],
        *,
        access: Access,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        verb: str = "SUBSCRIBE",
        locate: Locate | None = None,
        is_master: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`verb` is SUBSCRIBE, or SSUBSCRIBE where a channel has a slot; the rest as a `ValkeyClient` takes it."""
        self._tasks = Tasks(on_error)
        self.client = ValkeyClient(
            place,
            access=access,
            chance=chance,
            on_error=on_error,
            timeout_s=PING_S,
            greeting=[encode(verb, channel)],
            on_message=heard,
            locate=locate,
            is_master=is_master,
            on_change=on_change,
        )

    async def start(self) -> None:
        """Begin to listen; goes on trying when nobody is there yet."""
        await self.client.start()
        self._tasks.start(self._ping(), "subscription ping")

    async def close(self) -> None:
        """Listen no longer."""
        await self._tasks.close()
        await self.client.close()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            try:
                await self.client.send(encode("PING"))
            except StoreUnavailable:
                continue  # it reconnects by itself
