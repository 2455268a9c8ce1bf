"""A circuit breaker before a server (RES-01, RES-02)."""

from mantlet.upstreams.guarded.guarded import Guarded
from mantlet.upstreams.guarded.verdict import is_failed_reply, is_failure

__all__ = ["Guarded", "is_failed_reply", "is_failure"]
