"""One process of a node, as `build` leaves it: what its doors, its operators and its end are given."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mantlet.core.caller import Caller
from mantlet.core.ports import Fetch, LimitStore, Post, State, Upstream
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.writer import Journal
from mantlet.events.metrics import Metrics
from mantlet.keys.seal import NodeSealer
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tls import Certificates
from mantlet.node.build.current import Current, CurrentCallerLimits, CurrentIdentity
from mantlet.node.build.renewal import Renewal
from mantlet.node.config.model import Config
from mantlet.node.steps.kills import Kills
from mantlet.node.storage.durable import Durable
from mantlet.node.upstreams.definitions import Settle
from mantlet.node.upstreams.drains import Drains
from mantlet.node.upstreams.servers import Server
from mantlet.node.upstreams.services import Service
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.record.policy import RecordPolicy
from mantlet.upstreams.egress import Guard

if TYPE_CHECKING:  # what is opened where the config asks for it, and is not waited for elsewhere
    from mantlet.node.steps.cache import NodeCache
    from mantlet.policies.approvals.book import Book
    from mantlet.policies.pins.policy import Pins
    from mantlet.upstreams.fallback.step import Fallback


@dataclass(frozen=True, slots=True)
class Node:
    """One process of a node, ready to listen."""

    config: Config
    """As the node was opened; what a reload may exchange is `current`'s."""
    current: Current
    renewal: Renewal
    refuse: Callable[[Trail, Refusal], Any]
    authenticate: CurrentIdentity
    certificates: Certificates
    record: RecordPolicy
    addresses: Addresses | None
    journal: Journal
    metrics: Metrics
    limits: LimitStore
    state: State
    post: Post
    egress: Guard
    fetch: Fetch
    caller_limits: CurrentCallerLimits
    sealer: NodeSealer
    upstreams: dict[str, Server]
    services: dict[str, Service]
    drains: Drains
    reached: Sequence[Upstream]
    """All of these as calls reach them: with what stands before their transports."""
    kills: Kills
    approvals: "Book | None"
    cache: "NodeCache | None"
    fallback: "Fallback | None"
    is_current: Callable[[Caller], bool]
    """Whether a caller's credential holds and nobody has stopped it: asked of whoever keeps something open."""
    holds: Callable[[Caller], Awaitable[bool]]
    """The same of a caller whom another process recognised. Raises `StoreUnavailable`."""
    pins: "Pins | None"
    settle_pins: Settle
    durable: Durable
    tasks: Tasks
    new_id: Callable[[], str]
    sse: Terms | None
    public_url: str
