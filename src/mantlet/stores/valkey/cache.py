"""`CacheStore` in Valkey or Redis: each step is one script, told to all who listen by pub/sub.

In a cluster all of it lies in one slot, since a step touches an entry, its lease, the marks of its scopes and the count
of bytes together. Time is the server's, so nodes' clocks do not matter.
"""

import asyncio
import hashlib
import math
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

from mantlet.core.ports import Found, Lead, Wait
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import parse
from mantlet.stores.valkey.client import Client, encode
from mantlet.stores.valkey.connection import ReplyError
from mantlet.stores.valkey.opening import make_client
from mantlet.stores.valkey.slots import slot_of
from mantlet.stores.valkey.subscription import Subscription
from mantlet.stores.valkey.waits import Waits

PREFIX: Final = "mantlet:{cache}:"
SLOT: Final = slot_of(PREFIX)
TIMEOUT_S: Final = 0.1
"""For one answer. After a late one the connection is given up, and calls go on without the store at once."""
ENTRY: Final = f"{PREFIX}e:"
LEASE: Final = f"{PREFIX}l:"
CHANNEL: Final = f"{PREFIX}news"
MARK: Final = f"{PREFIX}m:"
_FENCE, _INDEX, _SIZES, _BYTES = (PREFIX + name for name in ("fence", "index", "sizes", "bytes"))
LONGEST_S: Final = 30 * 86_400.0
"""How long anything is kept at most, and so how long it must be known that something was forgotten."""
REST_S: Final = 5.0
"""How long it is left alone after it refused a command."""
_DROPPED_AT_ONCE: Final = 500
_KEY_BYTES: Final = 32
_ORIGIN_BYTES: Final = 8
_SETTLED: Final = b"s"
_FORGOTTEN: Final = b"f"


class ValkeyCache:
    """See the port. `max_bytes` bounds all values and what stands around them; with more, those go whose time is over
    first."""

    def __init__(
        self,
        client: Client,
        url: str,
        *,
        max_bytes: int,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        access: Access | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._client, self._waits = client, waits
        self._max_bytes = max_bytes
        self._origin = secrets.token_bytes(_ORIGIN_BYTES)
        self._refused, self._refused_until_s, self._refusals = "", 0.0, 0
        self._settled: Callable[[bytes, bytes], None] = lambda key, news: None
        self._forgotten: Callable[[str], None] = lambda scope: None
        place = parse(url)
        is_cluster = place.kind == "cluster"
        self._verb = "SPUBLISH" if is_cluster else "PUBLISH"
        self._subscription = Subscription(
            place,
            CHANNEL,
            self._heard,
            access=access or Access(),
            chance=chance,
            on_error=on_error,
            verb="SSUBSCRIBE" if is_cluster else "SUBSCRIBE",
            locate=client.locator(SLOT),
            is_master=place.kind == "sentinel",
        )
        client.on_move(lambda: self._subscription.client.abandon("the store's servers changed"))
        self._enter, self._hold, self._settle = _Step("enter"), _Step("hold"), _Step("settle")
        self._forget, self._drop = _Step("forget"), _Step("drop")

    async def start(self) -> None:
        """Begin to listen; goes on trying when nobody is there yet."""
        await self._subscription.start()

    async def close(self) -> None:
        """Listen no longer."""
        await self._subscription.close()

    @property
    def is_able(self) -> bool:
        """See the port."""
        if self._refused and asyncio.get_running_loop().time() >= self._refused_until_s:
            self._refused = ""
        return self._client.is_ready and self._subscription.client.is_ready and not self._refused

    @property
    def why(self) -> str:
        """Why it is not able; for the log and health. Holds no secret."""
        if self._refused:
            return f"it refused a command: {self._refused}"
        return self._client.why if not self._client.is_ready else self._subscription.client.why

    @property
    def epoch(self) -> int:
        """See the port."""
        return self._client.epoch_of(SLOT) + self._subscription.client.epoch_of(SLOT) + self._refusals

    def listen(self, settled: Callable[[bytes, bytes], None], forgotten: Callable[[str], None], /) -> None:
        """See the port."""
        self._settled, self._forgotten = settled, forgotten

    async def enter(
        self, key: bytes, scopes: Sequence[str], lease_s: float, max_age_s: float, /
    ) -> Found | Lead | Wait:
        """See the port."""
        name = key.hex()
        most = -1 if math.isinf(max_age_s) else int(max_age_s * 1e6)
        keys = (ENTRY + name, LEASE + name, _FENCE, *_marks(scopes))
        reply = await self._run(self._enter, keys, (_milliseconds(lease_s), most))
        match reply:
            case [1, bytes(value), int(age)]:
                return Found(value, age / 1e6)
            case [2, int(left)]:
                return Wait(left / 1e3)
            case [3, bytes(token), bytes(marks)]:
                return Lead(int(token), marks)
        raise StoreUnavailable(why="the store's cache gave an answer that is none")

    async def hold(self, key: bytes, token: int, lease_s: float, /) -> bool:
        """See the port."""
        reply = await self._run(self._hold, (LEASE + key.hex(),), (token, _milliseconds(lease_s)))
        return bool(reply == 1)

    async def settle(
        self, key: bytes, scopes: Sequence[str], lead: Lead, value: bytes, ttl_s: float, news: bytes, /
    ) -> bool:
        """See the port."""
        name = key.hex()
        reply = await self._run(
            self._settle,
            (ENTRY + name, LEASE + name, _INDEX, _SIZES, _BYTES, *_marks(scopes)),
            (lead.token, lead.marks, name, ENTRY, value, _milliseconds(min(ttl_s, LONGEST_S)), self._max_bytes,
             self._verb, CHANNEL, _SETTLED + key + news),
        )  # fmt: skip
        return bool(reply == 1)

    async def forget(self, scope: str, /) -> None:
        """See the port. Of everything (the empty scope) the room is given back too."""
        message = _FORGOTTEN + self._origin + scope.encode()
        arguments = (_milliseconds(LONGEST_S), self._verb, CHANNEL, message)
        await self._run(self._forget, _marks((scope,)), arguments)
        left = not scope
        while left:
            left = bool(await self._run(self._drop, (_INDEX, _SIZES, _BYTES), (ENTRY, _DROPPED_AT_ONCE)))

    async def size(self) -> tuple[int, int]:
        """How many values there are, and their bytes. Raises `StoreUnavailable`."""
        entries = await self._client.call("ZCARD", _INDEX)
        return int(entries), int(await self._client.call("GET", _BYTES) or 0)

    async def _run(self, step: "_Step", keys: Sequence[str], arguments: Sequence[bytes | str | int]) -> Any:
        command = step.command(keys, arguments)
        asked_s = 0.0 if self._waits is None else self._waits.monotonic()
        reply = await self._client.settle(await self._client.send(command, SLOT), command, SLOT)
        if self._waits is not None:
            self._waits.came(asked_s)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            # A restarted server forgot it. EVAL loads and runs in one, so a second miss cannot come between.
            command = step.command(keys, arguments, is_whole=True)
            reply = await self._client.settle(await self._client.send(command, SLOT), command, SLOT)
        if isinstance(reply, ReplyError):
            # A user without the rights, or no room at all: the same would come of the next call.
            self._refused, self._refused_until_s = str(reply), asyncio.get_running_loop().time() + REST_S
            self._refusals += 1
            raise StoreUnavailable(why=f"the store's cache: {reply}")
        return reply

    def _heard(self, message: bytes) -> None:
        kind = message[:1]
        if kind == _SETTLED:
            self._settled(message[1 : 1 + _KEY_BYTES], message[1 + _KEY_BYTES :])
        elif kind == _FORGOTTEN and message[1 : 1 + _ORIGIN_BYTES] != self._origin:
            self._forgotten(message[1 + _ORIGIN_BYTES :].decode("utf-8", "replace"))


class _Step:
    """A script on the server, called by its digest."""

    def __init__(self, name: str) -> None:
        self._source = (files("mantlet.stores.valkey") / "lua" / f"cache_{name}.lua").read_bytes()
        self._digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], arguments: Sequence[bytes | str | int], *, is_whole: bool = False) -> bytes:
        start: tuple[bytes | str | int, ...] = ("EVAL", self._source) if is_whole else ("EVALSHA", self._digest)
        return encode(*start, len(keys), *keys, *arguments)


@asynccontextmanager
async def open_cache_store(
    url: str,
    access: Access | None,
    *,
    max_bytes: int,
    chance: Callable[[], float],
    on_error: Callable[[BaseException], None],
    waits: Waits | None = None,
) -> AsyncIterator[ValkeyCache]:
    """What the caches of all processes at `url` have in common, open until the block ends. A store that is not there
    yet, or does not let us in, is no error: it is not able until then. `waits` is told how long its answers take."""
    client = make_client(url, access, chance=chance, on_error=on_error, timeout_s=TIMEOUT_S)
    await client.start()
    store = ValkeyCache(client, url, max_bytes=max_bytes, chance=chance, on_error=on_error, access=access, waits=waits)
    try:
        await store.start()
        yield store
    finally:
        await store.close()
        await client.close()


def _milliseconds(time_s: float) -> int:
    return max(1, int(time_s * 1000))


def _marks(scopes: Sequence[str]) -> tuple[str, ...]:
    return tuple(MARK + scope for scope in scopes)
