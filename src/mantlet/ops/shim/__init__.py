"""A tool server that only one may run at a time: locked, looked at first, with something to fall back to."""

from mantlet.ops.shim.plan import Plan, ShimFailed
from mantlet.ops.shim.run import run

__all__ = ["Plan", "ShimFailed", "run"]
