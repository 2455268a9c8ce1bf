"""Joining the eras: every upstream for clients of both, with `mcp.bridge`."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Post, Sealer, State, Upstream
from mantlet.events.metrics import Metrics
from mantlet.node.upstreams.gauges import watch_bridge
from mantlet.upstreams.bridge.bridged import Bridged, Unbridged
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_legacy import Places, ToLegacy
from mantlet.upstreams.bridge.to_modern import ToModern
from mantlet.upstreams.endpoints import Endpoints
from mantlet.upstreams.layers import transport_of
from mantlet.upstreams.transports.http import HttpServer


def bridged(
    config: BridgeConfig,
    upstreams: Mapping[str, Upstream],
    sealer: Sealer,
    state: State,
    post: Post,
    opened: AsyncExitStack,
    *,
    is_alone: bool,
    session_idle_s: float,
    metrics: Metrics,
    on_error: Callable[[BaseException], None],
) -> dict[str, Upstream]:
    """`upstreams` with the bridge around each, which `metrics` watch. Closed by `opened` before they are."""
    if not config.enabled:
        return {name: Unbridged(inner) for name, inner in upstreams.items()}
    joined: dict[str, Upstream] = {}
    places = Places(config)
    to_legacies: list[ToLegacy] = []
    to_moderns: list[ToModern] = []
    for name, inner in upstreams.items():
        to_modern = ToModern(
            inner,
            sealer,
            state,
            post,
            SYSTEM,
            secrets.token_bytes,
            config,
            is_alone=is_alone,
            session_idle_s=session_idle_s,
            on_error=on_error,
        )
        opened.push_async_callback(to_modern.close)
        bare = transport_of(inner)
        room = bare.room if isinstance(bare, HttpServer | Endpoints) else None  # channels carry any number at once
        to_legacy = ToLegacy(inner, config, sealer, post, places, room=room, on_error=on_error)
        opened.push_async_callback(to_legacy.close)
        joined[name] = Bridged(inner, to_legacy, to_modern)
        to_legacies.append(to_legacy)
        to_moderns.append(to_modern)
    watch_bridge(metrics, places, to_legacies, to_moderns)
    return joined
