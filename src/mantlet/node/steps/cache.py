"""The cache as this node has it: opened once, asked by the step of whichever configuration is in force."""

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Consents, Upstream
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, failed, log, log_event
from mantlet.node.storage.store import watch_waits
from mantlet.node.upstreams.definitions import Definitions
from mantlet.policies.cache.answer import Answer, dump, load
from mantlet.policies.cache.cache import Cache
from mantlet.policies.cache.key import key_of
from mantlet.policies.cache.memory import Memory
from mantlet.policies.cache.plan import Plan
from mantlet.policies.cache.policy import CachePolicy, Given
from mantlet.policies.cache.turns import Codec
from mantlet.stores.valkey.cache import ValkeyCache, open_cache_store
from mantlet.stores.valkey.waits import Waits

if TYPE_CHECKING:
    from mantlet.node.shared import Shared

_BEGINNINGS: Final = frozenset({"cache.compute", "cache.coalesce"})
LOOK_S: Final = 1.0
"""How long a store that is gone can go unnoticed by a node that nobody calls."""
OWN_STORE_SHARE: Final = 4
"""The part of an embedded store that answers may take; the rest is for limits and sessions, which nothing evicts."""


@dataclass(frozen=True, slots=True)
class NodeCache:
    """What outlives a reload."""

    cache: Cache[Given]
    store: ValkeyCache | None
    metrics: Metrics
    upstreams: Mapping[str, Upstream]
    definitions: Definitions
    consents: Mapping[str, Consents]

    @property
    def state(self) -> str:
        """For health: `on`, or why nothing is kept."""
        return "on" if self.store is None or self.cache.is_on else f"off: {self.store.why}"

    async def purge(self, what: str) -> bool:
        """Forget `what` here, and tell the others; False where they could not be told now."""
        try:
            await self.cache.purge(what)
        except StoreUnavailable:
            return False
        return True

    async def stats(self) -> dict[str, Any]:
        """All its figures."""
        memory, figures = self.cache.memory, self.cache.figures
        told: dict[str, Any] = {
            "state": self.state,
            "hit_rate": round(figures.hit_rate, 4),
            **asdict(figures),
            "took_s": round(figures.took_s, 6),
            "fetch_ms": round(figures.took_s / max(1, figures.computed) * 1000, 1),
            "entries": len(memory),
            "bytes": memory.size,
            "under_way": self.cache.under_way,
        }
        if self.store is not None and self.store.is_able:
            try:
                told["store_entries"], told["store_bytes"] = await self.store.size()
            except StoreUnavailable as refusal:
                told["state"] = f"off: {refusal.why}"
        return told

    def step(self, config: Config) -> CachePolicy:
        """The step of the path under `config`."""
        section = config.cache
        return CachePolicy(
            Plan(section),
            self.cache,
            revision=revisions(config),
            definition_of=self.definitions.hash_of,
            speaks_legacy=partial(speaks_legacy, self.upstreams),
            monotonic=SYSTEM.monotonic,
            changed=self.cache.forget,
            count=partial(self.metrics.count, "mantlet_cache_lookups"),
            consents=self.consents,
            while_stale_s=section.stale_while_revalidate,
            if_error_s=section.stale_if_error,
        )


async def open_cache(
    config: Config,
    shared: "Shared",
    upstreams: Mapping[str, Upstream],
    definitions: Definitions,
    metrics: Metrics,
    opened: AsyncExitStack,
    consents: Mapping[str, Consents],
) -> NodeCache:
    """The memory of this process, which has its part of the node's. `consents` are of the servers that are asked by
    callers' own grants."""
    section, workers = config.cache, shared.workers
    waits = Waits(SYSTEM.monotonic)
    store = await _open_store(config, shared.store_url, opened, waits)
    tasks = Tasks(failed)
    opened.push_async_callback(tasks.close)

    def dispose(given: Given) -> None:
        if not isinstance(given, Answer):
            tasks.start(aclose(given.body), "cache.close")

    def evicted(why: str) -> None:
        cache.figures.evicted += why == "room"

    memory: Memory[Given] = Memory(
        max_bytes=section.max_bytes // workers,
        max_entries=max(1, section.max_entries // workers),
        max_entry_bytes=section.max_entry_bytes,
        tenant_share=section.tenant_share,
        evicted=evicted,
    )
    cache: Cache[Given] = Cache(
        memory,
        Codec(_size, _dump, load),
        tasks=tasks,
        monotonic=SYSTEM.monotonic,
        chance=random.random,
        store=store,
        early_refresh=section.early_refresh,
        tell=told,
        dispose=dispose,
    )
    watch_cache(metrics, cache, section.max_bytes // workers)
    if store is not None:
        watch_waits(metrics, waits, "cache")
        tasks.start(every(LOOK_S, _Look(store)), "cache.look")
    return NodeCache(cache, store, metrics, upstreams, definitions, consents)


def told(event: str, fields: Mapping[str, Any]) -> None:
    """A line for each answer that was fetched, and one for those who shared it; how they began is for who debugs."""
    if event not in _BEGINNINGS:
        log_event(event, fields)
    elif logging.getLogger("mantlet").isEnabledFor(logging.DEBUG):
        log.debug(event, **fields)


async def _open_store(config: Config, url: str, opened: AsyncExitStack, waits: Waits) -> ValkeyCache | None:
    """What this process has in common with others; None where it is alone, or keeps to itself by configuration."""
    max_bytes = config.cache.store_max_bytes
    if url.startswith(("memory:", "embedded:")) or max_bytes == 0:
        return None
    if max_bytes is None:
        own = config.store.max_memory_bytes // OWN_STORE_SHARE
        max_bytes = min(own, config.cache.max_bytes) if config.store.is_own else config.cache.max_bytes
    access = config.store.access
    return await opened.enter_async_context(
        open_cache_store(url, access, max_bytes=max_bytes, chance=random.random, on_error=failed, waits=waits)
    )


class _Look:
    """Says once that the store went, and once that it is back (spec 8.3)."""

    def __init__(self, store: ValkeyCache) -> None:
        self._store, self._was_able = store, True

    def __call__(self) -> None:
        is_able = self._store.is_able
        if is_able != self._was_able:
            self._was_able = is_able
            if is_able:
                log.warning("cache.store", state="on")
            else:
                log.warning("cache.store", state="off", why=self._store.why, effect="nothing is kept; calls go on")


def watch_cache(metrics: Metrics, cache: Cache[Any], max_bytes: int) -> None:
    """Its figures; look-ups are counted as they come."""
    memory, figures = cache.memory, cache.figures
    metrics.gauge("mantlet_cache_bytes", "Bytes of answers that are kept in memory", lambda: memory.size)
    metrics.gauge("mantlet_cache_max_bytes", "What they may take", lambda: max_bytes)
    metrics.gauge("mantlet_cache_entries", "Answers that are kept in memory", lambda: len(memory))
    metrics.gauge("mantlet_cache_evictions", "Answers that went for want of room, since the start",
                  lambda: figures.evicted)  # fmt: skip
    metrics.gauge("mantlet_cache_computed", "Answers fetched to be kept or shared, since the start",
                  lambda: figures.computed)  # fmt: skip
    metrics.gauge("mantlet_cache_coalesced", "Calls that waited for one under way, since the start",
                  lambda: figures.coalesced)  # fmt: skip
    metrics.gauge("mantlet_cache_from_store", "Answers that another process had, since the start",
                  lambda: figures.from_store)  # fmt: skip
    metrics.gauge("mantlet_cache_fetch_seconds", "Time spent fetching them, since the start", lambda: figures.took_s)
    metrics.gauge("mantlet_cache_on", "Whether answers are kept; 0 while the store is away",
                  lambda: float(cache.is_on), "min")  # fmt: skip


def revisions(config: Config) -> Callable[[str], str]:
    """What a configuration is to answers fetched under it, by server: with another policy, credential or address they
    are other answers, on every node that shares the store (CACHE-05)."""
    common = [config.cache, config.authorization, config.validation, config.mcp.pins.mode]
    base = msgspec.json.encode(common, enc_hook=_hashed).decode()
    known = {
        server.name: key_of(base, msgspec.json.encode(server, enc_hook=_hashed).decode()).hex()
        for server in config.mcp.servers
    }
    return lambda server: known[server]


def speaks_legacy(upstreams: Mapping[str, Upstream], server: str) -> bool:
    """Whether a server is known to speak the legacy era itself."""
    upstream = upstreams.get(server)
    eras = getattr(upstream, "spoken", None) or getattr(upstream, "eras", None)
    return isinstance(eras, frozenset) and "legacy" in eras


def _hashed(value: Any) -> str:
    return key_of(value.reveal()).hex() if isinstance(value, Secret) else repr(value)


def _size(given: Given) -> int:
    assert isinstance(given, Answer)
    return given.size


def _dump(given: Given) -> bytes:
    assert isinstance(given, Answer)
    return dump(given)
