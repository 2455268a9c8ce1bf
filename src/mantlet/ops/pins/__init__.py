"""What servers say now against what was approved, without a running node: for a repository and its CI."""

from mantlet.ops.pins.collect import Collected, collect
from mantlet.ops.pins.comparison import Comparison, Difference, compare

__all__ = ["Collected", "Comparison", "Difference", "collect", "compare"]
