"""The parts of the endpoint of all servers, put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mantlet.core.clock import Clock
from mantlet.core.ports import Names, Post, Sealer, State
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.alarms import Alarms
from mantlet.policies.aggregate.catalogue import Catalogue
from mantlet.policies.aggregate.config import VirtualServerConfig
from mantlet.policies.aggregate.fanout import Fanout
from mantlet.policies.aggregate.legacy import Legacy
from mantlet.policies.aggregate.listen import Listening
from mantlet.policies.aggregate.merged import Merged
from mantlet.policies.aggregate.pages import Pages
from mantlet.policies.aggregate.places import Places
from mantlet.policies.aggregate.policy import Aggregate, Reach, TaskServer
from mantlet.policies.aggregate.recent import Recent
from mantlet.policies.aggregate.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """As `mcp.limits` has them, in seconds."""

    list_timeout_s: float
    page_size: int = 1_000
    max_streams: int = 10_000
    max_streams_per_caller: int = 100
    session_idle_s: float = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the endpoint needs of the world."""

    names: Names
    sealer: Sealer
    state: State
    post: Post
    clock: Clock
    chance: Callable[[], float]
    tasks: Tasks
    report: Callable[[str, Mapping[str, Any]], None]


def open_aggregate(
    servers: Sequence[str],
    ports: Ports,
    bounds: Bounds,
    *,
    may_reach: Reach,
    task_server: TaskServer,
    virtual: Sequence[VirtualServerConfig] = (),
    name: str,
    version: str,
) -> Aggregate:
    """The policy, ready for the path."""
    catalogue = Catalogue(servers, ports.names)
    recent = Recent(ports.clock.monotonic)

    def changed(server: str, method: str) -> None:
        catalogue.changed(server, method)
        recent.changed(method)

    streams = Places(bounds.max_streams, bounds.max_streams_per_caller)
    merged = Merged(ports.tasks, streams)
    legacy = Legacy(
        sealer=ports.sealer,
        state=ports.state,
        post=ports.post,
        clock=ports.clock,
        merged=merged,
        changed=changed,
        chance=ports.chance,
        tell_timeout_s=bounds.list_timeout_s,
        session_idle_s=bounds.session_idle_s,
        tasks=ports.tasks,
    )
    listening = Listening(
        merged,
        changed=changed,
        monotonic=ports.clock.monotonic,
        chance=ports.chance,
        acknowledge_within_s=bounds.list_timeout_s,
    )
    return Aggregate(
        servers,
        catalogue=catalogue,
        fanout=Fanout(legacy.behind, bounds.list_timeout_s, ports.clock.monotonic),
        legacy=legacy,
        listening=listening,
        pages=Pages(ports.sealer, bounds.page_size),
        alarms=Alarms(ports.report),
        recent=recent,
        streams=streams,
        may_reach=may_reach,
        task_server=task_server,
        views={virtual_server.name: View(virtual_server) for virtual_server in virtual},
        name=name,
        version=version,
    )
