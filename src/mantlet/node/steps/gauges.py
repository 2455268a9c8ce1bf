"""Calls that wait for a place, and streams that the endpoint of all servers keeps open: read when it is asked for."""

from mantlet.events.metrics import Metrics
from mantlet.node.steps.forward import Forward
from mantlet.policies.aggregate.policy import Aggregate


def watch_places(metrics: Metrics, forward: Forward) -> None:
    """Places at servers: taken, waited for, and how many the limits in force leave."""
    metrics.gauge("mantlet_calls_under_way", "Calls at upstreams", lambda: forward.under_way)
    metrics.gauge("mantlet_calls_waiting", "Calls that wait for a place at an upstream", lambda: forward.waiting)
    metrics.gauge("mantlet_calls_shed", "Calls refused for want of a place, since the start", lambda: forward.shed)
    metrics.gauge(
        "mantlet_upstream_places",
        "Calls that all upstreams together may have under way, as their limits are now",
        lambda: sum(limit for limit, _ in forward.limits().values()),
    )
    metrics.gauge(
        "mantlet_upstreams_held_back",
        "Upstreams whose limit is below what it may be, because calls failed",
        lambda: sum(limit < most for limit, most in forward.limits().values()),
        "max",
    )


def watch_endpoint(metrics: Metrics, aggregate: Aggregate) -> None:
    """What the endpoint of all servers keeps open."""
    metrics.gauge(
        "mantlet_merged_streams",
        "Subscriptions and GET streams at /mcp and at virtual servers",
        lambda: aggregate.streams.taken,
    )
