"""The two steps: `CallerLimits` before the body is read, `CallLimits` when tool and method are known.

Keys begin with the client, then the limit's name, so that one prefix is all that a client has; limits for
everyone begin with `global`, a tenant's with `tenant`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler, CallHandler
from mantlet.core.ports import Charge, LimitKey, LimitStore, Taken
from mantlet.core.record import Trail
from mantlet.core.refusal import RateLimited
from mantlet.policies.limits.client import PRINCIPAL, client_of
from mantlet.policies.limits.config import Limit, LimitsConfig
from mantlet.policies.limits.routes import Profile, compile_routes
from mantlet.wire.answer import limit_headers

GLOBAL: Final = "global"
TENANT: Final = "tenant"
_CACHED_CLIENTS: Final = 8192
_SHARED: Final = frozenset({"client", GLOBAL, TENANT})
"""Windows that every call takes from, by name."""
_X_LIMIT: Final = b"x-ratelimit-limit"


def charge(key: LimitKey, limit: Limit, name: str) -> Charge:
    """One limit of the config as the store takes it."""
    return Charge(key=(*key, name), limit=limit.requests, window_s=limit.window, name=name)


class CallerLimits:
    """Client, global, burst and tenant limits, and profiles that path and HTTP method alone decide (RATE-01).

    All are taken in one atomic step; a refusal in one spends nothing in the others.
    """

    def __init__(self, config: LimitsConfig, store: LimitStore, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._wall = clock.wall
        self._profiles = tuple(p for p in compile_routes(config.routes) if not p.needs_call)
        self._all = charge((GLOBAL,), config.all, "global")
        # Making three charges takes 4 µs; a caller's are the same every time.
        self._of = lru_cache(maxsize=_CACHED_CLIENTS)(self.charges)
        self._of_profiles = lru_cache(maxsize=_CACHED_CLIENTS)(_profile_charges)

    def charges(self, client: LimitKey) -> tuple[Charge, ...]:
        """What every request of `client` must fit."""
        config = self._config
        charges = [charge(client, config.client, "client"), self._all]
        if config.burst is not None:
            charges.append(charge(client, config.burst, "burst"))
        if config.tenant is not None and client[0] == PRINCIPAL:
            charges.append(charge((TENANT, client[1]), config.tenant, "tenant"))
        return tuple(charges)

    async def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """Refuse with `RateLimited`, or pass on and tell the caller where it stands."""
        client = client_of(arrival.caller, arrival.peer)
        charges = self._of(client)
        cost = 1
        for profile in self._profiles:
            if profile.matches_arrival(arrival.path, arrival.verb):
                charges += self._of_profiles(profile, client)
                cost = max(cost, profile.cost)
        if cost > 1:
            charges = _weighed(charges, cost)
        taken = await self._store.take(charges)
        if taken.refused >= 0:
            raise refusal(charges, taken, arrival.trail, self._wall())
        reply = await onward(arrival)
        if reply.header(_X_LIMIT) is None:  # a limit nearer to the tool has told already
            reply.headers += headers(charges[taken.tightest], taken, self._wall())
        return reply


class CallLimits:
    """Profiles by tool, server or JSON-RPC method. Leave it out of the chain unless `is_needed`."""

    def __init__(self, config: LimitsConfig, store: LimitStore, clock: Clock) -> None:
        self._store = store
        self._wall = clock.wall
        self._profiles = tuple(p for p in compile_routes(config.routes) if p.needs_call)
        self._of = lru_cache(maxsize=_CACHED_CLIENTS)(_profile_charges)
        self._of_all = lru_cache(maxsize=_CACHED_CLIENTS)(CallerLimits(config, store, clock).charges)

    @property
    def is_needed(self) -> bool:
        """Whether any profile needs to see a call."""
        return bool(self._profiles)

    async def __call__(self, call: Call, onward: CallHandler, /) -> Reply:
        """Refuse with `RateLimited`, or pass on."""
        tool = call.target if call.method == "tools/call" else ""
        arrival = call.arrival
        charges: tuple[Charge, ...] = ()
        cost = 1
        for profile in self._profiles:
            if profile.matches_call(call.method, tool, call.server) and profile.matches_arrival(
                arrival.path, arrival.verb
            ):
                charges += self._of(profile, client_of(call.caller, arrival.peer))
                cost = max(cost, profile.cost)
        if cost > 1:  # one was taken before the body was read
            charges = _weighed(self._of_all(client_of(call.caller, arrival.peer)), cost - 1, drop_rest=True) + charges
        if not charges:
            return await onward(call)
        taken = await self._store.take(charges)
        if taken.refused >= 0:
            raise refusal(charges, taken, call.trail, self._wall())
        reply = await onward(call)
        reply.headers += headers(charges[taken.tightest], taken, self._wall())
        return reply


def _profile_charges(profile: Profile, client: LimitKey) -> tuple[Charge, ...]:
    charges = []
    if profile.client is not None:
        charges.append(charge(client, profile.client, profile.name))
    if profile.all is not None:
        charges.append(charge((GLOBAL,), profile.all, profile.name))
    return tuple(charges)


@lru_cache(maxsize=_CACHED_CLIENTS)
def _weighed(charges: tuple[Charge, ...], cost: int, *, drop_rest: bool = False) -> tuple[Charge, ...]:
    """`charges` where those that all calls share take `cost`. A burst is of calls, whatever they cost."""
    return tuple(
        replace(each, cost=cost) if each.name in _SHARED else each
        for each in charges
        if each.name in _SHARED or not drop_rest
    )


def refusal(charges: Sequence[Charge], taken: Taken, trail: Trail, wall_s: float) -> RateLimited:
    """The refusal for `taken`, its limit named in the trail."""
    spent = charges[taken.refused]
    is_global = spent.key[0] == GLOBAL
    trail.rule = f"limits.{spent.name}" if not is_global or spent.name == GLOBAL else f"limits.{spent.name}.global"
    return RateLimited(
        name=spent.name,
        limit=spent.limit,
        window_s=spent.window_s,
        remaining=taken.remaining,
        reset_s=wall_s + taken.reset_in_s,
        retry_after_s=taken.reset_in_s,
        is_global=is_global,
    )


def headers(tightest: Charge, taken: Taken, wall_s: float) -> list[tuple[bytes, bytes]]:
    """The fields of an admitted call. While there is some left, the reset is when all of it would be back."""
    reset_in_s = taken.reset_in_s or tightest.window_s
    return limit_headers(
        name=tightest.name,
        limit=tightest.limit,
        window_s=tightest.window_s,
        remaining=taken.remaining,
        reset_s=wall_s + reset_in_s,
        reset_in_s=math.ceil(reset_in_s),
    )
