"""The part of the path that serves clients of the HTTP+SSE transport."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, Policy
from mantlet.core.ports import Post, Sealer
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.sse import SseClients
from mantlet.node.config.model import Config

SSE: Final = "sse"


def open_sse(
    config: Config,
    handler: ArrivalHandler,
    endpoints: Collection[str],
    *,
    limits: Policy[Arrival],
    refuse: Callable[[Trail, Refusal], Awaitable[Reply]],
    tasks: Tasks,
    new_id: Callable[[], str],
    on_error: Callable[[BaseException, Trail | None], None],
    sealer: Sealer,
    post: Post,
) -> SseClients | None:
    """The policy, or None where the transport is not offered. A stream ends with its credential, as all streams do."""
    settings = config.mcp.sse
    if not settings.is_on(config.environment):
        return None
    terms = Terms(
        handler=handler,
        refuse=refuse,
        clock=SYSTEM,
        tasks=tasks,
        new_id=new_id,
        on_error=on_error,
        door=SSE,
        request_timeout_s=config.http.request_timeout,
        max_in_flight=settings.max_in_flight,
        max_refused=settings.max_refused,
        max_per_caller=settings.per_caller_streams,
        is_tls=config.http.tls.is_on,
    )
    prefix = urlsplit(config.agent.url or "").path.rstrip("/")
    return SseClients(settings, terms, endpoints, sealer=sealer, post=post, limits=limits, prefix=prefix)
