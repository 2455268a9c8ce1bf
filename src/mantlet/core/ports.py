"""The narrow places where the world comes in. At most five methods each; each says what holds under concurrency."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Record

LimitKey = tuple[str, ...]
"""Compound keys stay tuples until an adapter joins them, escaped: ("a/b", "c") and ("a", "b/c") differ."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One limit that a call must fit: at most `limit` in any true window of `window_s` seconds under `key`."""

    key: LimitKey
    limit: int
    window_s: float
    name: str = "client"
    """Which limit of the config it is: `client`, `global`, `burst`, or a route's name."""
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What a store says of a set of charges: all admitted and counted, or none counted.

    `refused` is the index of the refusing charge (the one that frees last, if several refuse), or -1.
    `remaining` and `reset_in_s` are of that charge, or when admitted of the charge with least left.
    `reset_in_s` says when enough of the window has passed that the same charge fits, if nobody else takes.
    """

    refused: int
    tightest: int
    remaining: int
    reset_in_s: float

    @property
    def allowed(self) -> bool:
        """Whether all charges were admitted."""
        return self.refused < 0


class LimitStore(Protocol):
    """Sliding windows. `take` is atomic over all its charges, also across processes that share the store."""

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Count every charge, or none at all. Raises `StoreUnavailable`."""
        ...

    async def count(self, charge: Charge) -> Taken:
        """The state of a charge's window without taking anything."""
        ...

    async def reset(self, prefix: LimitKey) -> int:
        """Forget all windows whose key starts with `prefix`; gives how many."""
        ...


class Journal(Protocol):
    """The audit trail. Records keep the order in which `append` was called in one process."""

    def append(self, record: Record, /) -> Future[None]:
        """Queue `record` and give what is done once it is written as durably as configured.

        Fails with `AuditUnavailable`, at once or through the future; what the record stands for must then not be
        acknowledged. Whoever does not wait (a cancelled call) may drop the future: the record is written all the same.
        """
        ...

    @property
    def is_able(self) -> bool:
        """False while writing is known to fail: work that could not be acknowledged is then not begun."""
        ...


class Upstream(Protocol):
    """One named MCP server behind the node."""

    @property
    def name(self) -> str:
        """As configured."""
        ...

    async def send(self, call: Call, /) -> Reply:
        """Carry `call` to the server and give its reply; raises `UpstreamUnavailable`, `BadUpstream`, `EraUnavailable`,
        `DeadlineExceeded`, `SessionNotFound`. Cancelling the caller's task cancels the work upstream."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """State (`starting`, `healthy`, `unhealthy`, `stopped`), era, reasons; for people and `/admin`."""
        ...


class Sealer(Protocol):
    """Small secrets that leave the node and come back: authenticated encryption bound to a context."""

    def seal(self, plain: bytes, context: bytes, /) -> str:
        """URL-safe text that only this node (its key) can open, and only under the same `context`."""
        ...

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        """The plain bytes, or None for anything forged, foreign or of another context. Never raises."""
        ...


class Names(Protocol):
    """Who owns which exposed name, for ever (spec 3.1). Shared by the workers of a node."""

    async def owners(self, kind: str) -> Mapping[str, tuple[str, str]]:
        """All names of `kind` (`tools`, `prompts`): exposed name to (server, its own name)."""
        ...

    async def claim(self, kind: str, names: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
        """Give each name to its claimant unless it is somebody's already; gives all names as they then stand."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """One whole answer from outside. Hostile input, whoever sent it; no status is an error by itself."""

    status: int
    headers: Headers
    body: bytes


class Fetch(Protocol):
    """One request to somewhere outside, off the hot path: discovery, key sets, introspection, token endpoints, vaults,
    webhooks. Every one goes through the egress guard (EGR-01): the address is checked and connected to as checked,
    nothing is redirected, no cookie is kept, no environment read.
    """

    async def __call__(
        self,
        method: str,
        url: str,
        /,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> Fetched:
        """The answer, whatever its status. Raises `UpstreamUnavailable`, `BadUpstream` (too large, malformed, a bad
        certificate), `DeadlineExceeded`, or `EgressDenied` for an address that must not be reached."""
        ...


StateKey = tuple[str, ...]
"""As `LimitKey`: compound, joined by the adapter alone."""


class State(Protocol):
    """Small values that the processes of a node have in common (one process: its own), each with an end of life.

    Atomic by key. Values and their number are bounded by the store. All raise `StoreUnavailable`.
    """

    async def get(self, key: StateKey, /) -> bytes | None:
        """The value, unless there is none or its time is over."""
        ...

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        """Set it, whatever was there."""
        ...

    async def claim(self, key: StateKey, value: bytes, ttl_s: float, /) -> bytes:
        """Set it unless there is one; gives the value that then stands."""
        ...

    async def drop(self, key: StateKey, /) -> None:
        """Forget it."""
        ...


Heard = Callable[[bytes], None]
"""Takes one message. Called on the event loop; must not raise."""


class Post(Protocol):
    """Messages between the processes that share a store: at most once, in the order sent, nothing kept for later."""

    @property
    def address(self) -> str:
        """This process's own, new with every start; goes into ids and sealed texts that must find back here."""
        ...

    async def send(self, address: str, box: str, message: bytes, /) -> bool:
        """Hand `message` to `box` of the process at `address`; False when no process lives there.

        Raises `StoreUnavailable`. A live process without such a box drops it, so whoever needs an answer asks for one
        and bounds the wait.
        """
        ...

    def open(self, box: str, heard: Heard, /) -> None:
        """Hear what comes for `box` of this process, until `close`."""
        ...

    def close(self, box: str, /) -> None:
        """Hear it no longer."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A value that another process left in the store, and how long ago."""

    value: bytes
    age_s: float


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to compute, until the lease ends. `token` grows with every such right (a fence); `marks` is what the
    scopes stood at."""

    token: int
    marks: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Another process has that right, for `lease_s` more unless it holds on to it."""

    lease_s: float


class CacheStore(Protocol):
    """What the caches of several processes have in common: values for a time, and the right to make one.

    Every step is atomic. Methods raise `StoreUnavailable`. Scopes name what can make a value old (a server, a kind).
    """

    @property
    def is_able(self) -> bool:
        """Whether it answers, and what it has to tell is heard."""
        ...

    @property
    def epoch(self) -> int:
        """Another after each time that something may have gone unheard."""
        ...

    async def enter(
        self, key: bytes, scopes: Sequence[str], lease_s: float, max_age_s: float, /
    ) -> "Found | Lead | Wait":
        """The value, if it is no older than `max_age_s` and none of its scopes was forgotten since; else the right to
        make it for `lease_s`, unless another has that."""
        ...

    async def hold(self, key: bytes, token: int, lease_s: float, /) -> bool:
        """Keep the right for `lease_s` from now; False when it was lost."""
        ...

    async def settle(
        self, key: bytes, scopes: Sequence[str], lead: Lead, value: bytes, ttl_s: float, news: bytes, /
    ) -> bool:
        """Give the right back and tell those who wait `news`; keep `value` (if any) for `ttl_s`, if none of its scopes
        was forgotten since. False, and nothing is done, where the right was lost meanwhile."""
        ...

    async def forget(self, scope: str, /) -> None:
        """Every value under `scope` is old from now on, and every process is told."""
        ...

    def listen(self, settled: Callable[[bytes, bytes], None], forgotten: Callable[[str], None], /) -> None:
        """Hear what is told: of a key its news, and a scope that another process forgot. Called on the event loop;
        neither may raise. At most once each: whoever waits for news bounds the wait."""
        ...


class Consents(Protocol):
    """Of callers at a server that is asked by each one's own grant: what it said by one is not for another."""

    async def consent(self, caller: Caller, /) -> str:
        """Names the consent that holds now. Raises `ConsentRequired` where there is none."""
        ...
