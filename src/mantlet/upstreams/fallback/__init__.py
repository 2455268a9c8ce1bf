"""What is answered instead when a server cannot (RES-02)."""

from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.fallback.step import Fallback

__all__ = ["Fallback", "FallbackRule"]
