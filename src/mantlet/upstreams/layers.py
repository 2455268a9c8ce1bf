"""Upstreams that stand before others: breaker, retries, hedging. Each has what it stands before as `inner`."""

from mantlet.core.ports import Upstream


def transport_of(upstream: Upstream) -> Upstream:
    """What is behind all of them."""
    while (inner := getattr(upstream, "inner", None)) is not None:
        upstream = inner
    return upstream
