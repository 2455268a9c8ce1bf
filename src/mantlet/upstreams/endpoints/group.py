"""The endpoints of one server: which of them can be used, and how that changes.

Probes, calls, orders and time tell each endpoint's `Health` what happened; whenever that makes another state of it, who
can be picked is decided anew. The hot path finds the outcome and asks nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.call import Era
from mantlet.core.clock import Clock
from mantlet.upstreams.balance.pickers import Picker
from mantlet.upstreams.endpoints.endpoint import Endpoint
from mantlet.upstreams.health.state import STATES, State

LOAD_KEPT_S: Final = 10.0
"""How long an endpoint's word on its load is believed."""

Changed = Callable[[str, Endpoint, State], None]
"""Is told the server's name, an endpoint whose state is another now, and the state before. Must not raise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the endpoints of one server have in common. `is_probed`: each has a `Prober`, so none has to be tried while
    nothing is known of it. `max_ejected_percent` as `OutlierConfig` has it."""

    is_probed: bool = False
    max_ejected_percent: int = 50
    prefer_zone: str | None = None
    affinity_header: str | None = None
    drain_s: float = 300.0
    """How long sessions may go on at an endpoint that is drained."""
    patience_s: float = 1.0
    """A call whose deadline passed earlier than that says nothing of the endpoint."""


class Group:
    """Of one server, for one loop."""

    def __init__(
        self,
        name: str,
        transport: str,
        endpoints: Sequence[Endpoint],
        picker: Picker[Endpoint],
        settings: Settings,
        clock: Clock,
        changed: Changed,
    ) -> None:
        self._name = name
        self._transport = transport
        self.endpoints = tuple(endpoints)
        self._by_name = {one.name: one for one in endpoints}
        self._picker = picker
        self._settings = settings
        self._monotonic = clock.monotonic
        self._changed = changed
        self.changes: dict[State, int] = dict.fromkeys(STATES, 0)
        """How often an endpoint came to be in each state."""
        self.usable: tuple[Endpoint, ...] = ()
        """Those that new calls may go to, but for breakers."""
        self.spoken: frozenset[Era] | None = None
        """The eras of those, where all are known: a call of any of them finds somebody. Looked up with each `tick`, not
        with each call (0.3 us an endpoint); who was told too little is refused, and told more (`bridge.bridged`)."""
        self._refresh()

    @property
    def name(self) -> str:
        """As configured."""
        return self._name

    def probed(self, endpoint: Endpoint, why: str) -> bool:
        """A probe's outcome: why it failed, or nothing. Gives whether to look again soon."""
        health, now_s = endpoint.health, self._monotonic()
        if why:
            self._settle(endpoint, lambda: health.probe_failed(why, now_s))
        else:
            self._settle(endpoint, lambda: health.probe_ok(now_s))
        return health.state in ("starting", "degraded", "unhealthy")

    def tick(self) -> None:
        """Time passes: called about once a second."""
        now_s = self._monotonic()
        self.spoken = self._eras()
        is_reweighed = False
        for one in self.endpoints:
            if one.health.is_watched:
                self._settle(one, lambda health=one.health: health.tick(now_s))  # type: ignore[misc]
            is_reweighed |= one.weigh(one.health.weight_share(now_s))
            one.forget_load(now_s - LOAD_KEPT_S)
        if is_reweighed:
            self._picker.between(self.usable)

    def drain(self, name: str, for_s: float | None = None) -> bool:
        """Let an endpoint take no new calls, and be stopped `for_s` seconds from now; whether there is one."""
        until_s = self._monotonic() + (self._settings.drain_s if for_s is None else for_s)
        return self._ordered(name, lambda one: one.health.drain(until_s))

    def undrain(self, name: str) -> bool:
        """Let it take calls again; whether there is one."""
        is_known = self._ordered(name, lambda one: one.health.undrain(self._monotonic()))
        if is_known and (prober := self._by_name[name].prober) is not None:
            prober.doubt()  # nothing is known of it until it was asked
        return is_known

    async def health(self) -> Mapping[str, Any]:
        """Each endpoint's state, and what follows for all; nobody is asked anything."""
        states = {one.health.state for one in self.endpoints}
        able = [one for one in self.endpoints if one.health.is_used]
        state = "unhealthy" if not able else "degraded" if states - {"healthy", "starting"} else "healthy"
        if states == {"starting"}:
            state = "starting"
        return {
            "name": self.name,
            "transport": self._transport,
            "state": state,
            "reasons": [f"{one.name} is {one.health.state}" for one in self.endpoints if one not in able],
            "eras": sorted(self.spoken or ()),
            "endpoints": [one.report() for one in self.endpoints],
        }

    def _failed(self, endpoint: Endpoint, why: str, *, unreached: bool) -> None:
        now_s, may = self._monotonic(), self._may_eject(endpoint)
        self._settle(endpoint, lambda: endpoint.health.call_failed(why, now_s, unreached=unreached, may_eject=may))
        if endpoint.prober is not None:
            endpoint.prober.doubt()

    def _may_eject(self, endpoint: Endpoint) -> bool:
        ejected = sum(one.health.is_ejected for one in self.endpoints)
        is_left = any(one is not endpoint for one in self.usable)
        return is_left and (ejected + 1) * 100 <= self._settings.max_ejected_percent * len(self.endpoints)

    def _settle(self, endpoint: Endpoint, event: Callable[[], bool]) -> None:
        before, was_gone = endpoint.health.state, endpoint.health.is_gone
        if event():
            self._refresh(is_reweighed=endpoint.weigh(endpoint.health.weight_share(self._monotonic())))
            self.changes[endpoint.health.state] += 1
            self._changed(self._name, endpoint, before)
        if endpoint.health.is_gone and not was_gone:
            # Those in the queue for its connections need not wait for it: they find another.
            endpoint.transport.pool.turn_away(f"endpoint {endpoint.name} is {endpoint.health.state}")

    def _eras(self) -> frozenset[Era] | None:
        found: frozenset[Era] = frozenset()
        for one in self.usable:
            spoken = one.transport.spoken
            if spoken is None:
                return None
            found = spoken if found is spoken else found | spoken
        return found or None

    def _ordered(self, name: str, order: Callable[[Endpoint], bool]) -> bool:
        endpoint = self._by_name.get(name)
        if endpoint is None:
            return False
        self._settle(endpoint, lambda: order(endpoint))
        return True

    def _refresh(self, *, is_reweighed: bool = False) -> None:
        known = [one for one in self.endpoints if one.health.is_used and one.health.state != "starting"]
        if not known or not self._settings.is_probed:
            known = [one for one in self.endpoints if one.health.is_used]
        near = [one for one in known if one.zone == self._settings.prefer_zone]
        usable = tuple(near or known)
        if usable != self.usable or is_reweighed:  # else everybody's turn goes on
            self.usable = usable
            self.spoken = self._eras()
            self._picker.between(usable)
