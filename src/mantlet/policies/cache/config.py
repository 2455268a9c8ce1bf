"""The `cache:` section."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)]


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which answers are given again, for how long, and how much room they may take.

    Switched on, it keeps what modern servers say may be kept (lists, `server/discover`, resources that are read), for
    as long as they say. What servers say shortens a time, and never lengthens one that stands here.
    """

    enabled: bool = False
    ttl: Seconds = 300
    """The longest that anything is kept."""
    max_bytes: Annotated[int, msgspec.Meta(ge=1_048_576)] = 268_435_456
    """In the memory of this node, all its workers together; and as much again in a shared store."""
    stale_while_revalidate: Seconds = 0
    """For so long after its time an answer is still given, marked as stale, while a new one is fetched (RFC 5861)."""
    tools: list[str] = []
    """Patterns, of a tool's own name or `server__tool`: tools that only read. Nobody else knows that they do."""
    prompts: list[str] = []
    """Patterns, of a prompt's own name or `server__prompt`: prompts that only read."""
    resources: list[str] = []
    """Patterns, of a URI or `server__uri`: resources that are kept for `ttl` where their server does not say."""
    shared: list[str] = []
    """Patterns as above, and `server__*` for a server's lists: what may be given to other callers of the same tenant
    than the one it was fetched for, where the server says `cacheScope: public` too."""
    hints: bool = True
    """Keep what modern servers say may be kept, without any pattern."""
    list_ttl: Seconds = 30
    """How long the lists of legacy servers are kept, which cannot say it; 0: not at all."""
    negative_ttl: Seconds = 0
    """How long a server's error answers are kept; 0: they are told those who wait, and forgotten."""
    stale_if_error: Seconds = 0
    """For so long after its time an answer is given, marked as stale, where its server fails (RFC 5861)."""
    early_refresh: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    """How eagerly an answer is fetched anew shortly before its time is over (XFetch's beta); 0: never."""
    max_entries: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    max_entry_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_048_576
    """A larger answer is not kept."""
    tenant_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """The part of the room that one tenant may take, where there are several."""
    store_max_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """In a shared store: `max_bytes` of an outside one, a quarter of `store.max_memory_bytes` of `embedded://` when
    not set; 0: answers are not shared between processes."""

    def __post_init__(self) -> None:
        if self.max_entry_bytes > self.max_bytes:
            raise ValueError("cache.max_entry_bytes: is more than cache.max_bytes")
        for name in ("tools", "prompts"):
            if "*" in getattr(self, name):
                # What any tool of any server does, nobody has looked at.
                raise ValueError(
                    f"cache.{name}: '*' is everything; name what only reads, by server at least: server__*"
                )
