"""The one guard before every connection out of the node (spec 4.8; EGR-01, EGR-02)."""

from mantlet.upstreams.egress.config import EgressConfig
from mantlet.upstreams.egress.guard import Guard
from mantlet.upstreams.egress.rules import Destination, Rules, compile_rules

__all__ = ["Destination", "EgressConfig", "Guard", "Rules", "compile_rules"]
