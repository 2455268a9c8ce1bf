"""A call that takes long is made a second time, and the first answer counts."""

from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.hedge.hedged import Hedged

__all__ = ["HedgeConfig", "Hedged"]
