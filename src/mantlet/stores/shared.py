"""Opening what the processes of a node have in common: `State` and `Post`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Post, State
from mantlet.stores.post import LocalPost
from mantlet.stores.state import MemoryState
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.opening import make_client
from mantlet.stores.valkey.post import ValkeyPost
from mantlet.stores.valkey.state import ValkeyState

TIMEOUT_S: Final = 1.0
"""Longer than the limits wait: they have something to fall back on, a session that cannot be looked up is refused."""


@asynccontextmanager
async def open_shared(
    url: str,
    access: Access | None = None,
    *,
    clock: Clock,
    chance: Callable[[], float],
    on_error: Callable[[BaseException], None],
) -> AsyncIterator[tuple[State, Post]]:
    """As `store.url` names it, open until the block ends.

    `memory://` and `embedded://` are for a process that is alone (workers get the embedded store's own URL). A store
    that is not there yet is no error here: each use raises `StoreUnavailable` until it is.
    """
    if url.startswith(("memory:", "embedded:")):
        yield MemoryState(clock), LocalPost()
        return
    async with AsyncExitStack() as opened:
        client = make_client(url, access, chance=chance, on_error=on_error, timeout_s=TIMEOUT_S)
        opened.push_async_callback(client.close)
        await client.start()
        post = ValkeyPost(url, client, chance=chance, on_error=on_error, access=access)
        opened.push_async_callback(post.stop)
        await post.start()
        yield ValkeyState(client), post
