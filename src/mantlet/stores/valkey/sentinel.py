"""Sentinel: which server is the master now, and the news that another one is.

After "Guidelines for Redis clients with support for Redis Sentinel": ask, connect, have the server confirm its role,
and ask again whenever the connection ends. Sentinels' news only make it faster. All are asked at once and the most
common answer is taken: one that is cut off from the others may still name the master of yesterday.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import Address, Place
from mantlet.stores.valkey.client import CONNECT_TIMEOUT_S, TIMEOUT_S, Locate, ValkeyClient
from mantlet.stores.valkey.connection import MAX_IN_FLIGHT
from mantlet.stores.valkey.subscription import Subscription

ASK_TIMEOUT_S: Final = 0.7
"""For one Sentinel. A third of what an attempt to connect may take."""
CHANNEL: Final = "+switch-master"


class Sentinels:
    """Those that `place` names. `switched` is told when they may have another master than the one connected to."""

    def __init__(
        self,
        place: Place,
        access: Access,
        switched: Callable[[str], None],
        *,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._place = place
        # What the URL holds is for the master: Sentinels have users of their own, or none.
        self._access = replace(access, user=access.sentinel_user, password=access.sentinel_password, password_file=None)
        self._one = replace(place, kind="single", user="", password="", database=0)
        self._switched = switched
        self._chance = chance
        self._on_error = on_error
        self._next = 0
        self._news = Subscription(
            self._one,
            CHANNEL,
            self._heard,
            access=self._access,
            chance=chance,
            on_error=on_error,
            locate=self._some,
            on_change=self._reconnected,
        )
        self._tasks = Tasks(on_error)

    async def start(self) -> None:
        """Begin to listen for news."""
        self._tasks.start(self._news.start(), "sentinel news")

    async def close(self) -> None:
        """Listen no longer."""
        await self._tasks.close()
        await self._news.close()

    async def master(self) -> Address:
        """Where most of those that answer see the master. Raises `StoreUnavailable`."""
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(address)) for address in self._place.addresses]
        said = [task.result() for task in asked]
        votes = Counter(answer for answer in said if isinstance(answer, Address))
        if votes:
            return votes.most_common(1)[0][0]
        raise StoreUnavailable(why=f"no Sentinel names the master {self._place.master}: {said[0]}")

    async def _ask(self, address: Address) -> Address | str:
        place = replace(self._one, addresses=(address,))
        client = ValkeyClient(
            place, access=self._access, chance=self._chance, on_error=self._on_error, timeout_s=ASK_TIMEOUT_S
        )
        try:
            if not await client.start(ASK_TIMEOUT_S):
                return f"{address.name}: {client.why}"
            named: Any = await client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._place.master)
        except StoreUnavailable as error:
            return error.why
        finally:
            await client.close()
        try:
            return Address(named[0].decode(), int(named[1])) if named else f"{address.name}: does not know it"
        except (TypeError, ValueError, AttributeError, LookupError):
            return f"{address.name}: is no Sentinel"

    async def _some(self) -> Address:
        """The next Sentinel to listen to."""
        self._next += 1
        return self._place.addresses[self._next % len(self._place.addresses)]

    def _heard(self, message: bytes) -> None:
        if message.split(b" ", 1)[0] == self._place.master.encode():
            self._switched("Sentinel: another master")

    def _reconnected(self) -> None:
        if self._news.client.is_ready and self._news.client.epoch > 1:
            self._switched("")  # news may have been missed


class SentinelClient(ValkeyClient):
    """A `Client` of the master that Sentinels name."""

    def __init__(
        self,
        place: Place,
        *,
        access: Access,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        timeout_s: float = TIMEOUT_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        slow_s: float | None = None,
    ) -> None:
        self._sentinels = Sentinels(place, access, self._switched, chance=chance, on_error=on_error)
        self._moved: list[Callable[[], None]] = []
        self._look = Tasks(on_error)
        super().__init__(
            place,
            chance=chance,
            on_error=on_error,
            access=access,
            timeout_s=timeout_s,
            max_in_flight=max_in_flight,
            slow_s=slow_s,
            locate=self._sentinels.master,
            is_master=True,
        )

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """See the port."""
        await self._sentinels.start()
        return await super().start(wait_s)

    async def close(self) -> None:
        """See the port."""
        await self._look.close()
        await self._sentinels.close()
        await super().close()

    def locator(self, slot: int) -> Locate | None:
        """See the port."""
        return self._sentinels.master

    def on_move(self, moved: Callable[[], None]) -> None:
        """See the port."""
        self._moved.append(moved)

    def _switched(self, why: str) -> None:
        if why:
            self.abandon(why)
            for moved in self._moved:
                moved()
        else:
            self._look.start(self._compare(), "sentinel compare")

    async def _compare(self) -> None:
        try:
            master = await self._sentinels.master()
        except StoreUnavailable:
            return
        if master != self.address:
            self._switched("Sentinel: another master")
