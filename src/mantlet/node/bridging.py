"""Joining the eras: every upstream for clients of both, with `mcp.bridge`."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Post, Sealer, State, Upstream
from mantlet.core.refusal import EraUnavailable
from mantlet.upstreams.bridge.bridged import Bridged
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern import ToModern
from mantlet.upstreams.transports.crossing import unavailable
from mantlet.wire.mcp.methods import LATEST_LEGACY, MODERN_VERSIONS


class NotCrossed:
    """Where a crossing will be; tells modern clients of a legacy server so."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def send(self, call: Call, /) -> Reply:
        """Refuse."""
        raise EraUnavailable(MODERN_VERSIONS[0], [LATEST_LEGACY], unavailable(self._name, call.era))


def bridged(
    config: BridgeConfig,
    upstreams: Mapping[str, Upstream],
    sealer: Sealer,
    state: State,
    post: Post,
    opened: AsyncExitStack,
    *,
    is_alone: bool,
    on_error: Callable[[BaseException], None],
) -> dict[str, Upstream]:
    """`upstreams` with the bridge around each. Closed by `opened` before they are."""
    if not config.enabled:
        return dict(upstreams)
    joined: dict[str, Upstream] = {}
    for name, inner in upstreams.items():
        to_modern = ToModern(
            inner, sealer, state, post, SYSTEM, secrets.token_bytes, config, is_alone=is_alone, on_error=on_error
        )
        opened.push_async_callback(to_modern.close)
        joined[name] = Bridged(inner, NotCrossed(name), to_modern)
    return joined
