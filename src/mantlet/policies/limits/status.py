"""For administration: what a client has left, and a fresh start."""

from dataclasses import dataclass

from mantlet.core.clock import Clock
from mantlet.core.ports import LimitKey, LimitStore
from mantlet.policies.limits.config import LimitsConfig
from mantlet.policies.limits.policy import CallerLimits, charge
from mantlet.policies.limits.routes import compile_routes


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One window as it stands. `reset_s` is Unix time: when one more call fits."""

    name: str
    limit: int
    window_s: float
    remaining: int
    reset_s: float


class LimitsAdmin:
    """Status and reset of a client, named by the key that `client_of` gives."""

    def __init__(self, config: LimitsConfig, store: LimitStore, clock: Clock) -> None:
        self._store = store
        self._wall = clock.wall
        self._always = CallerLimits(config, store, clock).charges
        self._profiles = compile_routes(config.routes)

    async def status(self, client: LimitKey) -> list[LimitStatus]:
        """Every limit that can refuse `client`, with what is left. Raises `StoreUnavailable`."""
        charges = [*self._always(client)]
        charges += [charge(client, p.client, p.name) for p in self._profiles if p.client is not None]
        found = []
        for each in charges:
            taken = await self._store.count(each)
            reset_s = self._wall() + taken.reset_in_s
            found.append(LimitStatus(each.name, each.limit, each.window_s, taken.remaining, reset_s))
        return found

    async def reset(self, client: LimitKey) -> int:
        """Forget all windows of `client`; gives how many. Global and tenant windows stay."""
        if len(client) < 2:
            raise ValueError("a client key has a kind and a name")
        return await self._store.reset(client)
