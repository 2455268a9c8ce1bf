"""A cluster: a connection to each master, commands sent to whoever has the slot, redirections followed.

After the Redis Cluster specification. The map of slots is asked for at the start, when a redirection or a lost
connection says that it is old, and now and then; no call waits for it. What one step must count together lies in one
slot (`keys.PREFIX`), so a take is as atomic here as on one server.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import Address, Place
from mantlet.stores.valkey.client import CONNECT_TIMEOUT_S, TIMEOUT_S, Locate, ValkeyClient, encode
from mantlet.stores.valkey.connection import MAX_IN_FLIGHT, ReplyError, reader
from mantlet.stores.valkey.slots import SLOTS, read_map, redirection, slot_of

REFRESH_S: Final = 10.0
"""Between two looks at the map while nothing says that it is old."""
AGAIN_S: Final = 0.25
"""Between two looks while it is old: a fail-over takes as long as the cluster's own time-out says."""
MAX_HOPS: Final = 3
"""Redirections that one command follows. More than two mean that the cluster does not agree with itself."""
MAX_SERVERS: Final = 1_000
_ASKING: Final = encode("ASKING")
_SLOTS: Final = encode("CLUSTER", "SLOTS")


class ClusterClient:
    """A `Client` of a cluster."""

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
        self._place = place
        self._access = access
        self._chance = chance
        self._on_error = on_error
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._slow_s = slow_s
        self._servers: dict[Address, ValkeyClient] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._masters: frozenset[Address] = frozenset()
        self._seen: dict[int, tuple[Address, int, int]] = {}
        self._tasks = Tasks(on_error)
        self._is_old = asyncio.Event()
        self._is_known = asyncio.Event()
        self._tried = asyncio.Event()
        self._moved: list[Callable[[], None]] = []
        self._why = "not connected yet"
        self._turn = 0

    @property
    def is_ready(self) -> bool:
        """See the port: whether the map is known and all that it names are connected."""
        return self._is_known.is_set() and all(
            one in self._servers and self._servers[one].is_ready for one in self._masters
        )

    @property
    def why(self) -> str:
        """See the port."""
        lost = next((client for client in self._servers.values() if not client.is_ready), None)
        return lost.why if lost is not None else self._why

    def is_ready_for(self, slot: int) -> bool:
        """See the port."""
        client = self._owner(slot)
        return client is not None and client.is_ready

    def epoch_of(self, slot: int) -> int:
        """See the port: another one with every new connection to the slot's server, and with another server."""
        address, client = self._owners[slot], self._owner(slot)
        seen = self._seen.get(slot)
        if address is None or client is None or not client.epoch:
            return 0 if seen is None else seen[2]
        if seen is None or seen[0] != address or seen[1] != client.epoch:
            seen = self._seen[slot] = (address, client.epoch, 1 if seen is None else seen[2] + 1)
        return seen[2]

    def locator(self, slot: int) -> Locate | None:
        """See the port."""

        async def owner() -> Address:
            await self._is_known.wait()
            address = self._owners[slot]
            if address is None:
                raise StoreUnavailable(why=f"no server has slot {slot}")
            return address

        return owner

    def on_move(self, moved: Callable[[], None]) -> None:
        """See the port."""
        self._moved.append(moved)

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """See the port."""
        reader()
        self._tasks.start(self._follow(), "cluster map")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), wait_s)
        return self.is_ready

    async def close(self) -> None:
        """See the port."""
        await self._tasks.close()
        for client in self._servers.values():
            await client.close()
        self._servers.clear()

    def send(self, command: bytes, slot: int = 0) -> asyncio.Future[Any]:
        """See the port."""
        client = self._owner(slot)
        if client is None:
            raise StoreUnavailable(why=f"store {self._place.name}: {self._why}")
        try:
            return client.send(command)
        except StoreUnavailable:
            self._is_old.set()
            raise

    async def settle(self, reply: Any, command: bytes, slot: int = 0) -> Any:
        """See the port. What is being moved is unavailable for that moment."""
        for _ in range(MAX_HOPS):
            if not isinstance(reply, ReplyError):
                return reply
            asked = self._owners[slot]
            try:
                found = redirection(str(reply), asked.host if asked else "")
            except ValueError as error:
                raise StoreUnavailable(why=f"store {self._place.name}: {error}") from error
            if found is None:
                break
            address, is_for_good = found
            client = await self._at(address)
            if is_for_good:
                self._owners[slot] = address
                reply = await client.send(command)
            else:
                asking = client.send(_ASKING)  # one turn of the loop, so nothing comes between the two
                reply = await client.send(command)
                await asking
        if isinstance(reply, ReplyError) and str(reply).startswith(
            ("MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN", "READONLY")
        ):
            self._is_old.set()
            raise StoreUnavailable(why=f"store {self._place.name}: {reply}")
        owner = self._owner(slot)
        return reply if owner is None else await owner.settle(reply, command)

    async def call(self, *args: bytes | str | int, key: bytes | str | None = None) -> Any:
        """See the port."""
        place = args[1] if key is None else key
        slot = slot_of(place if isinstance(place, bytes | str) else str(place))
        command = encode(*args)
        reply = await self.send(command, slot)
        if isinstance(reply, ReplyError):
            reply = await self.settle(reply, command, slot)
        if isinstance(reply, ReplyError):
            raise StoreUnavailable(why=f"store {self._place.name}: {reply}")
        return reply

    def _owner(self, slot: int) -> ValkeyClient | None:
        address = self._owners[slot]
        return None if address is None else self._servers.get(address)

    async def _at(self, address: Address) -> ValkeyClient:
        """The server that a redirection names, connected. Raises `StoreUnavailable`."""
        self._is_old.set()
        if address not in self._servers and len(self._servers) >= MAX_SERVERS:
            raise StoreUnavailable(why=f"store {self._place.name}: more than {MAX_SERVERS} servers")
        client = self._servers.get(address) or self._join(address)
        if not client.is_ready:
            await client.until_ready(self._timeout_s)
        return client

    def _join(self, address: Address) -> ValkeyClient:
        client = self._servers[address] = ValkeyClient(
            replace(self._place, kind="single", addresses=(address,)),
            access=self._access,
            chance=self._chance,
            on_error=self._on_error,
            timeout_s=self._timeout_s,
            max_in_flight=self._max_in_flight,
            slow_s=self._slow_s,
            on_change=self._is_old.set,
        )
        self._tasks.start(client.start(), "cluster server")
        return client

    async def _follow(self) -> None:
        """Keep the map true."""
        while True:
            self._is_old.clear()
            try:
                await self._look()
                self._tried.set()
            except (OSError, StoreUnavailable) as error:
                self._why = error.why if isinstance(error, StoreUnavailable) else str(error)
                self._is_old.set()
                self._tried.set()
            if self._is_old.is_set() or not self.is_ready:
                await asyncio.sleep(AGAIN_S * (0.5 + self._chance() / 2))
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_old.wait(), REFRESH_S)

    async def _look(self) -> None:
        for address in self._place.addresses:
            if not self._is_known.is_set() and address not in self._servers:
                self._join(address)
        ready = [client for client in self._servers.values() if client.is_ready]
        if not ready:
            for client in list(self._servers.values()):
                with contextlib.suppress(StoreUnavailable):
                    await client.until_ready(CONNECT_TIMEOUT_S / len(self._servers))
                if client.is_ready:
                    ready = [client]
                    break
        if not ready:
            raise StoreUnavailable(why=self.why)
        # Another one each time: one that is cut off would tell its old map for ever.
        self._turn += 1
        asked = ready[self._turn % len(ready)]
        reply = await asked.send(_SLOTS)
        if type(reply) is not list or not reply:
            raise StoreUnavailable(why=f"no map of the cluster: {reply or 'no slot is served'}")
        await self._take(reply, asked)

    async def _take(self, ranges: list[Any], asked: ValkeyClient) -> None:
        try:
            owners = read_map(ranges, asked.address.host if asked.address is not None else "")
        except ValueError as error:
            raise StoreUnavailable(why=f"no map of the cluster: {error}") from error
        masters = frozenset(owner for owner in owners if owner is not None)
        if len(masters) > MAX_SERVERS:
            raise StoreUnavailable(why=f"store {self._place.name}: more than {MAX_SERVERS} servers")
        before, self._owners, self._masters = self._owners, owners, masters
        for address in masters:
            if address not in self._servers:
                with contextlib.suppress(StoreUnavailable):
                    await self._join(address).until_ready(CONNECT_TIMEOUT_S / len(masters))
        # A seed that the map does not name by this address stays until one that it names can be asked instead.
        if any(self._servers[one].is_ready for one in masters):
            for address in [one for one in self._servers if one not in masters]:
                await self._servers.pop(address).close()
        self._is_known.set()
        if before != owners and any(before):
            for moved in self._moved:
                moved()
