"""One circuit breaker: pure, with time and chance handed in.

After Hystrix (rolling window, minimum volume, rate) and resilience4j (slow calls, exactly so many probes). Who wants to
call asks for a ticket, and brings it back with what became of the call. A ticket is the number of the state in which it
was given: a result that comes in a later state says nothing about that one, and is not counted.
"""

from collections.abc import Callable
from typing import Final, Literal

from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.breaker.window import Window

State = Literal["closed", "open", "half_open"]
OnChange = Callable[[State, str], None]
"""Is told of each new state, and why. Called on the spot; must not raise."""

BUSY_S: Final = 1.0
"""When to come again while the probes are under way: their results are near."""


class Breaker:
    """For one server, endpoint or dependency, and for one event loop (or thread).

    Each ticket is brought back once, by `succeeded`, `failed`, or `cancelled` for a call whose end says nothing about
    the server: its caller left, or this side refused it.
    """

    __slots__ = (
        "_chance",
        "_config",
        "_is_closed",
        "_monotonic",
        "_on_change",
        "_out",
        "_passed",
        "_slow_s",
        "_state",
        "_ticket",
        "_until_s",
        "_window",
        "opened",
        "refused",
    )

    def __init__(
        self,
        config: BreakerConfig,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
        on_change: OnChange = lambda state, why: None,
    ) -> None:
        """`chance` gives numbers from 0 to below 1, as `random.random` does."""
        self._config = config
        self._monotonic = monotonic
        self._chance = chance
        self._on_change = on_change
        self._slow_s = float("inf") if config.slow_ms is None else config.slow_ms / 1000
        self._window = Window(config.window, monotonic())
        self._state: State = "closed"
        self._is_closed = True
        self._ticket = 1
        self._until_s = 0.0
        self._out = 0
        self._passed = 0
        self.opened = 0
        """How often it has opened."""
        self.refused = 0
        """How many calls it has turned away."""

    @property
    def is_timed(self) -> bool:
        """Whether it matters how long an answer took."""
        return self._slow_s != float("inf")

    @property
    def state(self) -> State:
        """`half_open` also when its time has come and nobody has called yet: the next one is let through."""
        if self._state == "open" and self._monotonic() >= self._until_s:
            return "half_open"
        return self._state

    @property
    def retry_after_s(self) -> float:
        """When asking again may help; 0.0 when it would be let through now."""
        if self._is_closed:
            return 0.0
        left_s = self._until_s - self._monotonic()
        if self._state == "open":
            return max(0.0, left_s)
        return min(BUSY_S, max(0.0, left_s)) if self._out >= self._config.half_open_probes else 0.0

    def admit(self) -> int | None:
        """A ticket for one call, or None: it is not to be made."""
        if self._is_closed:
            return self._ticket
        now_s = self._monotonic()
        if self._state == "half_open" and now_s >= self._until_s and self._out >= self._config.half_open_probes:
            self._open(now_s, "a probe had no result in time")
        elif self._state == "open" and now_s >= self._until_s:
            self._become("half_open", "its time has come")
        if self._state == "open" or self._out >= self._config.half_open_probes:
            self.refused += 1
            return None
        self._out += 1
        # From the last one: before it, nobody waits in vain.
        self._until_s = now_s + self._config.probe_timeout
        return self._ticket

    def succeeded(self, ticket: int, elapsed_s: float = 0.0) -> None:
        """The call got an answer, after `elapsed_s`."""
        if ticket != self._ticket:
            return
        if elapsed_s > self._slow_s:
            self._went_wrong(slow=True)
        elif self._is_closed:
            # Once for every call: written out, and with no more than a look at the clock.
            window, now_s = self._window, self._monotonic()
            if now_s >= window.ends_s:
                window.turn(now_s)
            window.calls += 1
        else:
            self._passed += 1
            if self._passed >= self._config.half_open_probes:
                self.reset("its probes were answered")

    def failed(self, ticket: int) -> None:
        """The call failed, and it was the server's fault."""
        if ticket == self._ticket:
            self._went_wrong(slow=False)

    def cancelled(self, ticket: int) -> None:
        """The call's end says nothing: a probe's place is free again."""
        if ticket == self._ticket and not self._is_closed:
            self._out -= 1

    def reset(self, why: str = "by hand") -> None:
        """Close it, with nothing counted yet."""
        self._window.clear(self._monotonic())
        self._become("closed", why)

    def _went_wrong(self, *, slow: bool) -> None:
        now_s = self._monotonic()
        if not self._is_closed:
            self._open(now_s, "a probe was slow" if slow else "a probe failed")
            return
        self._window.went_wrong(now_s, slow=slow)
        if (why := verdict(self._window, self._config)) is not None:
            self._open(now_s, why)

    def _open(self, now_s: float, why: str) -> None:
        jitter = 1.0 + self._chance() * self._config.jitter_percent / 100
        self._until_s = now_s + self._config.open * jitter
        self.opened += 1
        self._become("open", why)

    def _become(self, state: State, why: str) -> None:
        self._state = state
        self._is_closed = state == "closed"
        self._ticket += 1
        self._out = self._passed = 0
        self._on_change(state, why)


def verdict(window: Window, config: BreakerConfig) -> str | None:
    """Why the server is to be left alone after what the window shows; None when it is not."""
    calls, failed, slow = window.calls, window.failed, window.slow
    if calls < config.volume:
        return None
    if failed >= config.failures and failed * 100 >= calls * config.failure_percent:
        return f"{failed} of {calls} calls failed"
    if slow and slow * 100 >= calls * config.slow_percent:
        return f"{slow} of {calls} calls were slow"
    return None
