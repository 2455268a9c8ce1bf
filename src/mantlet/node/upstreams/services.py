"""Plain HTTP services of this node: what carries calls to each, and the step that makes calls to them."""

from contextlib import AsyncExitStack
from functools import partial

from mantlet.core.clock import SYSTEM
from mantlet.core.tasks import Tasks
from mantlet.node.config.model import Config
from mantlet.node.config.refusals import is_let
from mantlet.node.upstreams.endpoints import Around, open_service
from mantlet.node.upstreams.forwarding import Forwarding
from mantlet.node.upstreams.resilience import Resilience
from mantlet.policies.services.policy import Services
from mantlet.policies.services.route import Route, Routes
from mantlet.upstreams.client import Resolve
from mantlet.upstreams.endpoints import Endpoints
from mantlet.upstreams.transports.service import ServiceServer
from mantlet.wire.jsonrpc import Bounds

Service = ServiceServer | Endpoints
"""What carries calls to one service."""


def open_services(
    config: Config,
    tasks: Tasks,
    resolve: Resolve,
    forwarding: Forwarding,
    opened: AsyncExitStack,
    resilience: Resilience,
) -> dict[str, Service]:
    """Every service by its name, closed with `opened`."""
    services: dict[str, Service] = {}
    is_plain_allowed = is_let("plain_upstream", config)
    around = Around.open(opened, resolve, resilience.vitals, is_plain_allowed=is_plain_allowed)
    for one in config.http_upstreams:
        told = forwarding.of(one.name, one.url, one)
        make = partial(ServiceServer, tasks=tasks, is_plain_allowed=is_plain_allowed, resolve=resolve, identity=told)
        services[one.name] = open_service(one, around, make, resilience.breakers(one))
    return services


def make_services(config: Config) -> Services | None:
    """The step, or None where there are no services."""
    if not config.http_upstreams:
        return None
    routes = [
        Route(
            name=one.name,
            prefix=one.root,
            verbs=one.methods,
            media=frozenset(one.content_types),
            max_body_bytes=one.max_body_bytes,
            max_json_bytes=one.max_json_bytes,
            timeout_s=one.timeout,
        )
        for one in config.http_upstreams
    ]
    bounds = Bounds(config.validation.max_depth, config.validation.max_keys)
    return Services(Routes(routes), bounds=bounds, monotonic=SYSTEM.monotonic)


def max_body_bytes(config: Config) -> int:
    """Of the largest body that any path of the HTTP door takes."""
    return max([config.http.max_body_bytes, *(one.max_body_bytes for one in config.http_upstreams)])
