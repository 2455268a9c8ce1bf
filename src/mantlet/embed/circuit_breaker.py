"""The circuit breaker by itself, around any call that can fail."""

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from mantlet.upstreams.breaker import Breaker, BreakerConfig, State

P = ParamSpec("P")
T = TypeVar("T")

Failures = type[BaseException] | tuple[type[BaseException], ...]
_LEFT: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


class CircuitOpen(Exception):
    """The call was not made. `retry_after_s` is when asking again may help."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"{name} is left alone for another {retry_after_s:.1f} s")
        self.name, self.retry_after_s = name, retry_after_s


class CircuitBreaker:
    """One dependency's breaker; for one event loop.

    >>> billing = CircuitBreaker("billing", failures=5, window=30, open=30)
    >>> @billing
    ... async def invoice(order): ...
    >>> with billing.attempt():
    ...     await client.post("/invoices")

    It opens when of the last `window` seconds' calls at least `failures` failed and these are `failure_percent` of all,
    or when `slow_percent` of them took longer than `slow_ms`. After `open` seconds exactly `half_open_probes` calls are
    let through; all must succeed. `failed_by` are the exceptions that count; others are answers. A call that is
    cancelled counts for nothing. Raises `ValueError` for settings that make no sense.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        failure_percent: float = 50.0,
        window: float = 30.0,
        slow_ms: int | None = None,
        slow_percent: float = 80.0,
        open: float = 30.0,  # noqa: A002 - the config's word
        half_open_probes: int = 1,
        failed_by: Failures = Exception,
        on_change: Callable[[State, str], None] = lambda state, why: None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if min(failures, half_open_probes) < 1 or min(window, open) <= 0:
            raise ValueError("failures and half_open_probes must be at least 1, window and open above 0")
        if not (0 < failure_percent <= 100 and 0 < slow_percent <= 100):
            raise ValueError("failure_percent and slow_percent are above 0 and at most 100")
        config = BreakerConfig(
            failures=failures,
            failure_percent=failure_percent,
            window=window,
            slow_ms=slow_ms,
            slow_percent=slow_percent,
            open=open,
            half_open_probes=half_open_probes,
        )
        self.name = name
        self._failed_by = failed_by
        self._monotonic = monotonic
        self._breaker = Breaker(config, monotonic, chance, on_change)

    @property
    def state(self) -> State:
        """`closed`, `open` or `half_open`."""
        return self._breaker.state

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one call, awaited or not. Raises `CircuitOpen` instead of entering."""
        breaker = self._breaker
        ticket = breaker.admit()
        if ticket is None:
            raise CircuitOpen(self.name, breaker.retry_after_s)
        began_s = self._monotonic()
        try:
            yield
        except _LEFT:
            breaker.cancelled(ticket)
            raise
        except BaseException as error:
            if isinstance(error, self._failed_by):
                breaker.failed(ticket)
            else:
                breaker.succeeded(ticket, self._monotonic() - began_s)
            raise
        breaker.succeeded(ticket, self._monotonic() - began_s)

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """As a decorator of a coroutine function."""

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.attempt():
                return await function(*args, **kwargs)

        return guarded

    def reset(self) -> None:
        """Close it, by hand."""
        self._breaker.reset()
