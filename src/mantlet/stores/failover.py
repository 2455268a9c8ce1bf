"""When the shared store gives no answer: go on by the configured choice, and come back by itself (RATE-05).

`local_share`: every node keeps a local table warm beside the shared one (its own admits, and its share of what it saw
all others use), and while the store is gone decides with that table and limit / sharers. When the store is back it may
be empty, or ignorant of what was granted meanwhile (and a store that never went away can be emptied, which its mark
tells); so each window must fit both the shared and the local table until
one whole window has passed since the return. Then the shared one has seen it all. No second quota is granted.

What is given up: a key that other nodes served and this one did not see within its window starts with this node's
whole share, so a client that used one node alone and is moved at the very moment of the failure can get up to
(sharers - 1) / sharers of its limit more, once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, Protocol

from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, LimitKey, LimitStore, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.memory import MAX_KEYS, MemoryLimits

OnFailure = Literal["local_share", "closed", "open"]
State = Literal["shared", "degraded", "recovering"]

MAX_REASONS: Final = 8
"""Why the store is away, told in one absence: first its connection is lost, and then it will not let us in again."""
WHOLE: Final = 1.05
"""Windows that must pass until one counts as whole: 101 sub-buckets of 100, and a little for the store's clock."""


class SharedLimits(LimitStore, Protocol):
    """A `LimitStore` across nodes that also tells what each window holds."""

    async def take_seen(self, charges: Sequence[Charge]) -> tuple[Taken, list[int], int, int]:
        """`take`; what each window of `charges` holds afterwards; the store's time in µs; when its data began.

        The last is another number after the store was emptied, and never 0.
        """
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where we stand with the shared store. `since_s` is monotonic: since when in this state."""

    state: State
    since_s: float
    epoch: int
    """Of the connection last used: behind a new one may stand an empty store."""


def failed(standing: Standing, *, now_s: float) -> Standing:
    """The store gave no answer."""
    return standing if standing.state == "degraded" else replace(standing, state="degraded", since_s=now_s)


def answered(standing: Standing, *, epoch: int, longest_s: float, now_s: float) -> Standing:
    """The store gave an answer over connection number `epoch`; `longest_s` is the longest window in use."""
    if standing.state == "degraded" or epoch != standing.epoch:
        return replace(standing, state="recovering", since_s=now_s, epoch=epoch)
    if standing.state == "recovering" and now_s - standing.since_s > longest_s * WHOLE:
        return replace(standing, state="shared", since_s=now_s)
    return standing


def needs_both(standing: Standing, window_s: float, *, epoch: int, now_s: float) -> bool:
    """Whether a window of this length must fit the local table too."""
    if epoch != standing.epoch or standing.state == "degraded":
        return True
    return standing.state == "recovering" and now_s - standing.since_s <= window_s * WHOLE


class FailoverLimits:
    """A `LimitStore` that survives its shared store, as `on_failure` says.

    `epoch` numbers the connection to the store; `is_ready` says whether there is one, and `lost` why not.
    `on_change(state, why)` is told of every change, and of each further reason while the store is away, for log,
    metric, audit and health; it must not raise.
    """

    def __init__(
        self,
        shared: SharedLimits,
        clock: Clock,
        *,
        on_failure: OnFailure,
        sharers: int,
        epoch: Callable[[], int],
        is_ready: Callable[[], bool] = lambda: True,
        lost: Callable[[], str] = lambda: "no connection to the store",
        on_change: Callable[[State, str], None] = lambda state, why: None,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._shared = shared
        self._local = MemoryLimits(clock, max_keys=max_keys)
        self._monotonic = clock.monotonic
        self._on_failure = on_failure
        self._configured = self._sharers = max(1, sharers)
        self._are_more = False
        self._epoch = epoch
        self._is_ready = is_ready
        self._lost = lost
        self._on_change = on_change
        self._why = ""
        self._reasons: set[str] = set()
        # Epoch 1 is the first connection ever: nothing was granted before it that could be granted twice.
        self._standing = Standing("shared", clock.monotonic(), 1)
        self._born = 0
        self._is_refusing = False

    @property
    def state(self) -> State:
        """`shared`, `degraded` or `recovering`, as of the last call or look."""
        return self._standing.state

    @property
    def why(self) -> str:
        """What the latest change came from, or why the store is away by now; for health. Holds no secret."""
        return self._why

    @property
    def sharers(self) -> int:
        """Between so many processes limits are shared out while the store is gone."""
        return self._sharers

    @property
    def are_more(self) -> bool:
        """Whether more processes than were configured have been counted for a while. One that takes nothing counts
        itself as one more, as the supervisor of workers would, so it cannot say."""
        return self._are_more and self.is_taking

    @property
    def is_taking(self) -> bool:
        """Whether this process decides anything: one that only looks has no share."""
        return len(self._local) > 0

    def counted(self, most: int, fewest: int) -> None:
        """So many processes were counted lately. Never fewer than configured: some may not be up yet."""
        self._sharers = max(self._configured, most)
        self._are_more = fewest > self._configured

    def look(self) -> None:
        """Notice without a call that the store is gone or back; to be called now and then."""
        is_ready = self._is_ready()
        if not is_ready and self._standing.state != "degraded":
            self._failed(StoreUnavailable(why=self._lost()))
        elif not is_ready:
            self._still_away(self._lost())
        elif is_ready and self._standing.state != "shared" and not self._is_refusing:
            self._answered()

    @property
    def is_degraded(self) -> bool:
        """Whether limits are anything but exact across the nodes right now."""
        return self._standing.state != "shared"

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Count every charge or none. Raises `StoreUnavailable` only under `closed`."""
        if self._on_failure != "local_share":
            return await self._take_without_local(charges)
        if self._standing.state != "shared" or self._epoch() != self._standing.epoch:
            return await self._take_both(charges)
        try:
            taken, used, _, born = await self._shared.take_seen(charges)
        except StoreUnavailable as error:
            self._failed(error)
            return await self._local.take(self._shares(charges))
        if born != self._born and self._forgot(born) and taken.allowed:
            # Granted by a store that does not know what it granted before: what we know of it must agree.
            here = await self._local.take(self._shares(charges))
            return taken if here.allowed else here
        self._local.record(charges, used, self._sharers, is_counted=taken.allowed)
        return taken

    async def count(self, charge: Charge) -> Taken:
        """The state of one window: the shared one, or while that is gone this node's share of it."""
        try:
            return await self._shared.count(charge)
        except StoreUnavailable:
            if self._on_failure != "local_share":
                raise
            return await self._local.count(_share(charge, self._sharers))

    async def reset(self, prefix: LimitKey) -> int:
        """Forget windows here and in the store. Raises `StoreUnavailable` when the store cannot be told."""
        here = await self._local.reset(prefix)
        return max(here, await self._shared.reset(prefix))

    async def _take_without_local(self, charges: Sequence[Charge]) -> Taken:
        try:
            taken = await self._shared.take(charges)
        except StoreUnavailable as error:
            self._failed(error)
            if self._on_failure == "closed":
                raise
            return Taken(-1, 0, charges[0].limit, 0.0)
        if self._standing.state != "shared":
            self._answered()
        return taken

    async def _take_both(self, charges: Sequence[Charge]) -> Taken:
        """Local first: it costs little, and what it refuses the store need not be asked."""
        standing, epoch, now_s = self._standing, self._epoch(), self._monotonic()
        held = [charge for charge in charges if needs_both(standing, charge.window_s, epoch=epoch, now_s=now_s)]
        here = await self._local.take(self._shares(held)) if held else None
        if here is not None and not here.allowed:
            if standing.state == "recovering" and epoch == standing.epoch:
                self._answered()  # a flood that is refused here must not keep us recovering for ever
            return _placed(here, held, charges)
        try:
            taken, used, _, born = await self._shared.take_seen(charges)
        except StoreUnavailable as error:
            self._failed(error)
            rest = [charge for charge in charges if charge not in held]
            there = await self._local.take(self._shares(rest)) if rest else None
            if there is not None and (here is None or not there.allowed or there.remaining < here.remaining):
                return _placed(there, rest, charges)
            return _placed(here, held, charges) if here is not None else Taken(-1, 0, 0, 0.0)
        if born != self._born and self._forgot(born) and taken.allowed:
            rest = [charge for charge in charges if charge not in held]
            there = await self._local.take(self._shares(rest)) if rest else None
            return taken if there is None or there.allowed else _placed(there, rest, charges)
        self._answered()
        # What the store refused stays counted for the held ones: too little for one window is better than too much.
        for charge, all_used in zip(charges, used, strict=True):
            is_counted = taken.allowed and charge not in held
            self._local.record((charge,), (all_used,), self._sharers, is_counted=is_counted)
        return taken

    def _forgot(self, born: int) -> bool:
        """Whether the store that answered, whose data began at `born`, is emptier than the one we knew."""
        known, self._born = self._born, born
        if not known:
            return False
        self._move(Standing("recovering", self._monotonic(), self._epoch()), "the store was emptied")
        return True

    def _answered(self) -> None:
        self._is_refusing = False
        if self._on_failure != "local_share":  # nothing was granted beside the store that it does not know
            self._move(Standing("shared", self._monotonic(), self._epoch()), "the store answers")
            return
        longest_s = self._local.longest_window_s
        now_s = self._monotonic()
        self._move(answered(self._standing, epoch=self._epoch(), longest_s=longest_s, now_s=now_s), "the store answers")

    def _failed(self, error: StoreUnavailable) -> None:
        # It is there and lets us do nothing (full, no rights): only an answer shows that this is over, no connection.
        self._is_refusing = self._is_ready()
        self._move(failed(self._standing, now_s=self._monotonic()), error.why)

    def _still_away(self, why: str) -> None:
        self._why = why
        if why not in self._reasons and len(self._reasons) < MAX_REASONS:
            self._reasons.add(why)
            self._on_change(self._standing.state, why)

    def _move(self, standing: Standing, why: str) -> None:
        before, self._standing = self._standing, standing
        if before.state != standing.state:
            self._why = why
            self._reasons = {why}
            self._on_change(standing.state, why)

    def _shares(self, charges: Sequence[Charge]) -> list[Charge]:
        return [_share(charge, self._sharers) for charge in charges]


def _placed(taken: Taken, some: Sequence[Charge], charges: Sequence[Charge]) -> Taken:
    """`taken` of `some` of the charges, its indexes told among all of them."""
    tightest = charges.index(some[taken.tightest])
    return replace(taken, refused=-1 if taken.allowed else tightest, tightest=tightest)


@lru_cache(maxsize=8192)
def _share(charge: Charge, sharers: int) -> Charge:
    """This node's part of a limit, rounded down but at least 1: a small limit must not lock everyone out."""
    return replace(charge, limit=max(1, charge.limit // sharers))
