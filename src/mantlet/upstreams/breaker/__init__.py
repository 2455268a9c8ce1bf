"""Circuit breakers: what fails is left alone for a while, and then asked carefully (RES-01)."""

from mantlet.upstreams.breaker.breaker import Breaker, State
from mantlet.upstreams.breaker.config import BreakerConfig

__all__ = ["Breaker", "BreakerConfig", "State"]
