"""The admin door: whom it lets in, and how what they do is recorded."""

from collections.abc import Callable, Sequence

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, Policy, chain
from mantlet.core.refusal import NotFound
from mantlet.events.metrics import Metrics
from mantlet.listeners.http import HttpConfig, HttpListener, listen
from mantlet.node.build.built import Node
from mantlet.node.build.current import CurrentDelegation
from mantlet.node.config.model import Config
from mantlet.node.doors.certificates import show
from mantlet.node.housekeeping import failed
from mantlet.node.operators.members import Member
from mantlet.node.path import answering
from mantlet.node.running.leaving import Leaving
from mantlet.node.running.reload import Reload
from mantlet.node.running.restart import Restart


async def open_admin(
    node: Node,
    members: Callable[[], Sequence[Member]],
    *,
    own: Metrics | None = None,
    reload: Reload | None = None,
    restart: Restart | None = None,
    leaving: Leaving | None = None,
    whole: Callable[[], Config] | None = None,
) -> HttpListener:
    """The admin listener. What strangers may ask is answered without a record, the rest is recorded like any call."""
    # Here, because a worker has no such door and calls are served before it opens: Starlette and Prometheus take time.
    from mantlet.admin.app import PREFIX, PUBLIC
    from mantlet.admin.bridge import bridge
    from mantlet.node.operators.application import admin_app

    app = bridge(admin_app(node, members, own=own, reload=reload, restart=restart, leaving=leaving, whole=whole))

    async def act(arrival: Arrival) -> Reply:
        # The first segment only: a client's name would make an action of its own of every client.
        arrival.trail.action = f"{arrival.verb} {PREFIX}{arrival.path.removeprefix(PREFIX).partition('/')[0]}"
        arrival.trail.object = arrival.path.removeprefix(PREFIX).partition("/")[2][:256]
        arrival.trail.rule = "admin"
        return await app(arrival)

    # Whoever acts for an administrator has here, too, no more than the whole chain has (AUTHZ-10).
    steps: list[Policy[Arrival]] = [
        node.record,
        node.authenticate,
        node.kills.callers,
        CurrentDelegation(node.current),
    ]
    guarded = answering(chain(steps, act), node.authenticate.challenge)
    public = answering(app, node.authenticate.challenge)
    missing = answering(chain([node.record], _missing), node.authenticate.challenge)

    async def handle(arrival: Arrival) -> Reply:
        if arrival.path in PUBLIC:
            return await public(arrival)
        return await (guarded if arrival.path.startswith(PREFIX) else missing)(arrival)

    handler: ArrivalHandler = handle
    section = node.config.admin
    admin = HttpConfig(host=section.host, port=section.port, max_connections=200, tls=section.tls)
    return await listen(
        admin,
        handler,
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        door="admin",
        tls=show(node, "admin", section.tls),
    )


async def _missing(_: Arrival) -> Reply:
    raise NotFound
