"""Who did not get in, and what the event loop has under way: read when it is asked for."""

import asyncio

from mantlet.events.metrics import Metrics
from mantlet.listeners.http import HttpListener
from mantlet.listeners.tcp.listener import TcpListener


def watch_door(metrics: Metrics, name: str, listener: HttpListener | TcpListener) -> None:
    """Who did not get in at a door for calls."""
    metrics.gauge(
        f"mantlet_{name}_connections_refused",
        f"Connections that a limit on connections turned away, since the start ({name})",
        lambda: listener.refused_connections,
    )
    metrics.gauge(
        f"mantlet_{name}_connections_displaced",
        f"Connections of nobody known, or at rest, that left for newcomers since the start ({name})",
        lambda: listener.displaced_connections,
    )


def watch_loop(metrics: Metrics) -> None:
    """What the event loop has under way: beside calls and streams a node has a fixed number of its own."""
    metrics.gauge("mantlet_tasks", "Tasks of the event loop", lambda: len(asyncio.all_tasks()))
