"""Opening the limits' store by its URL."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import LimitStore
from mantlet.stores.failover import FailoverLimits, OnFailure, State
from mantlet.stores.memory import MAX_KEYS, MemoryLimits
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.embedded import EmbeddedValkey
from mantlet.stores.valkey.leased import LeasedLimits
from mantlet.stores.valkey.limits import SLOT, ValkeyLimits
from mantlet.stores.valkey.opening import make_client
from mantlet.stores.valkey.present import BEAT_S, Present
from mantlet.stores.valkey.waits import Waits

SLOW_S: Final = 0.008
"""Longer answers of a store, one after the other, and limits go on without it: a decision has 10 ms."""


@asynccontextmanager
async def open_limits(
    url: str,
    access: Access | None = None,
    *,
    clock: Clock,
    chance: Callable[[], float],
    on_error: Callable[[BaseException], None],
    on_failure: OnFailure = "local_share",
    sharers: int = 1,
    on_change: Callable[[State, str], None] = lambda state, why: None,
    leases: bool = True,
    slow_s: float = SLOW_S,
    max_keys: int = MAX_KEYS,
    waits: Waits | None = None,
    group: str = "node",
    beat_s: float = BEAT_S,
) -> AsyncIterator[LimitStore]:
    """The store that `store.url` names, open until the block ends.

    `sharers` is nodes x workers: between so many, or more where those of the same `group` count more, the limits are
    shared out while a shared store is gone. `leases` lets
    large limits be taken for many calls at once; `waits` is told how long answers take. A store that is not there yet
    is no error: limits begin degraded.
    `embedded://` is for a single process; a supervisor starts `EmbeddedValkey` itself and hands its URL to the workers.
    Raises `ValueError` for a URL that is not understood.
    """
    if url.startswith("memory:"):
        yield MemoryLimits(clock, max_keys=max_keys)
        return
    async with AsyncExitStack() as opened:
        if url.startswith("embedded:"):
            server = EmbeddedValkey(on_error=on_error, url=url)
            url = await server.start()
            opened.push_async_callback(server.close)
        client = make_client(url, access, chance=chance, on_error=on_error, slow_s=slow_s)
        opened.push_async_callback(client.close)
        await client.start()
        exact = ValkeyLimits(client, waits)
        leased = LeasedLimits(exact, clock, sharers=sharers) if leases else None
        if leased is not None:
            opened.push_async_callback(leased.close)
        limits = FailoverLimits(
            exact if leased is None else leased,
            clock,
            on_failure=on_failure,
            sharers=sharers,
            epoch=lambda: client.epoch_of(SLOT),
            is_ready=lambda: client.is_ready_for(SLOT),
            lost=lambda: client.why or "no connection to the store",
            on_change=on_change,
            max_keys=max_keys,
        )
        if on_failure == "local_share":
            present = Present(
                client,
                group,
                is_taking=lambda: limits.is_taking,
                counted=limits.counted,
                on_error=on_error,
                beat_s=beat_s,
            )
            opened.push_async_callback(present.close)
            present.start()
        yield limits
