"""Sliding windows in the shared store, one script on the server a step: exact, whoever takes at the same time."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from mantlet.core.ports import Charge, LimitKey, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.valkey.client import Client
from mantlet.stores.valkey.connection import ReplyError
from mantlet.stores.valkey.keys import MARK, PREFIX, name_of, under
from mantlet.stores.valkey.scripts import Script, bulk, charged, source
from mantlet.stores.valkey.slots import slot_of
from mantlet.stores.valkey.waits import Waits
from mantlet.stores.window import seconds, width_us

SLOT: Final = slot_of(PREFIX)
"""In a cluster all windows lie in one slot: what is counted in one step must be."""
_SCAN_COUNT: Final = 1000
_RESET: Final = source("reset")

Mark = tuple[int, int]
"""When the store's data began (its µs), and how many resets it saw. Another beginning: the store forgot."""


class ValkeyLimits:
    """A `LimitStore` over Valkey or Redis. Time is the server's, so nodes' clocks do not matter (RATE-04).

    `take` is one atomic script on the server. A cancelled or timed-out take may still have been counted.
    Measured for three charges at concurrency 16: 18 µs of CPU in the node, 35 in the server.
    """

    def __init__(self, client: Client, waits: Waits | None = None) -> None:
        """`waits` is told how long each answer took."""
        self._client = client
        self._waits = waits
        self._take = Script(source("take"))
        self._count = Script(source("count"))
        self._give = Script(source("give"))

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Count every charge or none, in one step on the server. Raises `StoreUnavailable`."""
        reply = await self.run(charges)
        return Taken(reply[0], reply[1], reply[2], seconds(reply[3]))

    async def take_seen(self, charges: Sequence[Charge]) -> tuple[Taken, list[int], int, int]:
        """`take`; what each window holds afterwards (all nodes' admits); the server's time, and when its data began."""
        reply = await self.run(charges)
        return Taken(reply[0], reply[1], reply[2], seconds(reply[3])), reply[7:], reply[4], reply[5]

    async def run(self, charges: Sequence[Charge], extra: Sequence[int] = ()) -> list[int]:
        """What `lua/take.lua` gives, each charge `extra` larger than it says. Raises `StoreUnavailable`."""
        return await self._ask(self._take, *charged(charges, extra))

    async def count(self, charge: Charge) -> Taken:
        """The state of one window without taking. Raises `StoreUnavailable`."""
        reply = await self._ask(self._count, *charged((charge,)))
        return Taken(reply[0], reply[1], reply[2], seconds(reply[3]))

    async def reset(self, prefix: LimitKey) -> int:
        """Forget every window under `prefix`: a scan of the store, an act of administration, not atomic."""
        pattern = under(prefix).replace("{", "\\{").replace("}", "\\}") + "*"
        cursor: bytes | int = 0
        found = 0
        while True:
            cursor, names = await self._client.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, key=PREFIX)
            for start in range(0, len(names), _SCAN_COUNT):
                some = names[start : start + _SCAN_COUNT]
                found += await self._client.call("EVAL", _RESET, 1 + len(some), MARK, *some, key=PREFIX)
            if cursor == b"0":
                return found

    def give(self, charge: Charge, units: int, *, bucket: int, mark: Mark, now_us: int) -> None:
        """Give back `units` that were charged to sub-bucket `bucket` and not used; nobody waits for it.

        `now_us` is what the server's time should be. What cannot be given back stays counted until it expires.
        """
        width = width_us(charge.window_s)
        words = (
            name_of(charge.key, width),
            MARK,
            *(b"%d" % number for number in (width, bucket, units, *mark, now_us)),
        )
        texts = tuple(map(bulk, words))
        try:
            given = self._client.send(self._give.command(2, 6, texts), SLOT)
        except StoreUnavailable:
            return

        def done(given: asyncio.Future[Any]) -> None:
            if given.cancelled() or given.exception() is not None:
                return
            reply = given.result()
            if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
                try:
                    again = self._client.send(self._give.command(2, 6, texts, is_whole=True), SLOT)
                except StoreUnavailable:
                    return
                again.add_done_callback(_heard)

        given.add_done_callback(done)

    async def settled(self) -> None:
        """Return once all that was sent is answered. Raises `StoreUnavailable`."""
        await self._client.call("GET", MARK)

    async def _ask(self, step: Script, keys: int, values: int, texts: tuple[bytes, ...]) -> list[int]:
        command = step.command(keys, values, texts)
        if (waits := self._waits) is None:
            reply = await self._client.send(command, SLOT)
        else:
            asked_s = waits.monotonic()
            reply = await self._client.send(command, SLOT)
            waits.came(asked_s)
        if type(reply) is list:
            return reply
        reply = await self._client.settle(reply, command, SLOT)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            # A restarted server forgot it. EVAL loads and runs in one, so a second miss cannot come between.
            command = step.command(keys, values, texts, is_whole=True)
            reply = await self._client.settle(await self._client.send(command, SLOT), command, SLOT)
        if type(reply) is not list:
            raise StoreUnavailable(why=f"limit script failed: {reply!r}")
        return reply


def _heard(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()  # looked at, so that the loop does not complain of it
