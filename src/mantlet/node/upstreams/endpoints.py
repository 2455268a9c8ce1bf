"""Servers behind HTTP as their configuration has them: at one URL, watched or not, or at several endpoints as one.

A server at one URL is its transport and nothing before it; what its probes find is told, and decides nothing.
"""

import random
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Sealer
from mantlet.core.tasks import Tasks
from mantlet.node.housekeeping import every, failed
from mantlet.upstreams.balance import EndpointConfig, make_picker
from mantlet.upstreams.balance.config import endpoint_names
from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.client import Bounds, HttpClient, Resolve, parse
from mantlet.upstreams.client.own import configured
from mantlet.upstreams.client.tls import context
from mantlet.upstreams.endpoints import Breaker, Endpoint, Endpoints, Settings
from mantlet.upstreams.endpoints.endpoint import mark_of
from mantlet.upstreams.health.config import HealthConfig
from mantlet.upstreams.health.prober import Prober
from mantlet.upstreams.health.probes import HttpProbe, TcpProbe
from mantlet.upstreams.health.state import Health, State, terms
from mantlet.upstreams.room import Room
from mantlet.upstreams.transports.http import HttpServer, HttpServerConfig
from mantlet.upstreams.transports.http.liveness import Liveness
from mantlet.upstreams.transports.http.session import OpenedIds
from mantlet.upstreams.transports.service import ServiceServer
from mantlet.upstreams.transports.service.config import ServiceConfig

TICK_S: Final = 1.0
MAX_PROBE_BYTES: Final = 65_536
ALONE: Final[dict[str, Any]] = {"endpoints": [], "balance": "round_robin", "affinity_header": None, "prefer_zone": None}
"""What makes a server's config that of one of its endpoints."""

Balanced = HttpServerConfig | ServiceConfig
Breakers = Callable[[str], Breaker]
"""Makes the breaker of the endpoint with this name."""
T = TypeVar("T", HttpServer, ServiceServer)
Told = Callable[[str, str, State, Health], None]
"""Server, endpoint, the state before, and how it is now. Must not raise."""
Make = Callable[..., T]
"""Makes the transport to the one URL of a config, with what endpoints have in common by name."""


@dataclass(frozen=True, slots=True)
class Around:
    """What servers are opened with. `opened` closes them, after the tasks that ask them: also where a later one cannot
    be opened."""

    opened: AsyncExitStack
    tasks: Tasks
    resolve: Resolve
    is_plain_allowed: bool
    told: Told

    @classmethod
    def open(cls, opened: AsyncExitStack, resolve: Resolve, told: Told, *, is_plain_allowed: bool) -> "Around":
        """With tasks of its own. `told` hears of every state that an endpoint comes to be in."""
        return cls(opened, Tasks(failed), resolve, is_plain_allowed, told)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin what asks servers that are open already."""
        self.tasks.start(work, name)
        self.opened.push_async_callback(self.tasks.close)


def open_http(
    config: HttpServerConfig, sealer: Sealer, around: Around, make: Make[HttpServer], breakers: Breakers | None = None
) -> HttpServer | Endpoints:
    """An MCP server. Raises `ValueError` or `OSError` for what cannot be used."""
    if not config.endpoints:
        return _single(config, config.endpoint, make(config), around)
    sessions = OpenedIds(sealer, config.name)
    tls = _tls(config)
    endpoints = []
    for name, one in zip(endpoint_names(config.endpoints), config.endpoints, strict=True):
        single = replace(config, url=one.url, **ALONE)
        transport = make(single, sessions=sessions, mark=mark_of(single.endpoint), tls_context=tls)
        endpoints.append(_endpoint(config, one, name, single.endpoint, transport, around, breakers))
    room = Room(config.streams)
    return _several(config, config.name, config.transport, endpoints, around, sessions=sessions, room=room)


def open_service(
    config: ServiceConfig, around: Around, make: Make[ServiceServer], breakers: Breakers | None = None
) -> ServiceServer | Endpoints:
    """A plain HTTP service. Raises as `open_http`."""
    if not config.endpoints:
        return _single(config, config.url, make(config), around)
    tls = _tls(config)
    endpoints = []
    for name, one in zip(endpoint_names(config.endpoints), config.endpoints, strict=True):
        single = replace(config, url=one.url, **ALONE)
        transport = make(single, tls_context=tls)
        endpoints.append(_endpoint(config, one, name, one.url, transport, around, breakers))
    return _several(config, config.name, "service", endpoints, around)


def _single(config: Balanced, url: str, transport: T, around: Around) -> T:
    """The transport itself. Its probes, where it has any, run beside it."""
    around.opened.push_async_callback(transport.close)
    if config.health is None or not config.health.enabled:
        return transport
    health = Health(terms(config.health, config.outlier, 0.0))
    transport.vitals = lambda: {"state": health.state, "reasons": list(health.reasons)}

    def told(why: str) -> bool:
        before, now_s = health.state, SYSTEM.monotonic()
        if health.probe_failed(why, now_s) if why else health.probe_ok(now_s):
            around.told(config.name, config.name, before, health)
        return health.state != "healthy"

    _watch(config, config.health, url, transport, told, around)
    return transport


def _endpoint(
    config: Balanced,
    one: EndpointConfig,
    name: str,
    url: str,
    transport: HttpServer | ServiceServer,
    around: Around,
    breakers: Breakers | None,
) -> Endpoint:
    around.opened.push_async_callback(transport.close)
    endpoint = Endpoint(
        name,
        url,
        transport,
        Health(terms(_probing(config), config.outlier, config.slow_start)),
        weight=1.0 if config.balance == "round_robin" else one.weight,
        zone=one.zone,
        breaker=None if breakers is None else breakers(name),
    )
    if config.balance == "least_load":
        transport.on_headers = lambda headers: endpoint.loaded(headers, SYSTEM.monotonic())
    return endpoint


def _several(
    config: Balanced,
    name: str,
    transport: str,
    endpoints: Sequence[Endpoint],
    around: Around,
    *,
    sessions: OpenedIds | None = None,
    room: Room | None = None,
) -> Endpoints:
    health = _probing(config)
    settings = Settings(
        is_probed=health is not None,
        max_ejected_percent=config.outlier.max_ejected_percent,
        prefer_zone=config.prefer_zone,
        affinity_header=config.affinity_header,
        patience_s=(config.breaker or BreakerConfig()).patience,
    )
    made = Endpoints(
        name,
        transport,
        endpoints,
        make_picker(config.balance, random.random),
        settings,
        sessions=sessions,
        room=room,
        changed=lambda server, endpoint, before: around.told(server, endpoint.name, before, endpoint.health),
    )
    if health is not None:
        for one in endpoints:
            one.prober = _watch(config, health, one.url, one.transport, partial(made.probed, one), around)
    around.start(every(TICK_S, made.tick), f"endpoints:{name}")
    return made


def _probing(config: Balanced) -> HealthConfig | None:
    """How endpoints are probed: by default, too."""
    health = config.health or HealthConfig()
    return health if health.enabled else None


def _watch(
    config: Balanced,
    health: HealthConfig,
    url: str,
    transport: Any,
    told: Callable[[str], bool],
    around: Around,
) -> Prober:
    """Begin to probe."""
    probe = _probe(config, health, url, transport, around)
    around.opened.push_async_callback(probe.close)
    prober = Prober(probe, health, told, chance=random.random)
    around.start(prober.run(), f"probe:{config.name}")
    return prober


def _probe(
    config: Balanced, health: HealthConfig, url: str, transport: Any, around: Around
) -> Liveness | HttpProbe | TcpProbe:
    kind = health.probe or ("http" if health.path else "mcp" if isinstance(transport, HttpServer) else "tcp")
    if kind == "mcp":
        assert isinstance(transport, HttpServer)  # the config says so
        return transport.liveness()
    endpoint = parse(url, is_plain_allowed=around.is_plain_allowed)
    if kind == "tcp":
        return TcpProbe(endpoint, around.resolve)
    bounds = Bounds(max_connections=1, connect_timeout_s=config.connect_timeout, max_answer_bytes=MAX_PROBE_BYTES)
    client = HttpClient(
        endpoint, SYSTEM, bounds=bounds, tls=config.tls, resolve=around.resolve, tls_context=transport.tls_context
    )
    own = configured(config.headers)
    return HttpProbe(client, (health.path or "/").encode(), own, health.status, SYSTEM)


def _tls(config: Balanced) -> ssl.SSLContext | None:
    """One context for all endpoints: each would cost 40 ms of CPU."""
    is_needed = any(one.url.lower().startswith("https:") for one in config.endpoints)
    return context(config.tls) if is_needed else None
