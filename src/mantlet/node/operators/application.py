"""The admin API as one application: what each concept lets an operator see and do, joined."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mantlet.admin.app import App, build_app
from mantlet.admin.approvals import approval_routes
from mantlet.admin.blocks import block_routes
from mantlet.admin.cache import cache_routes
from mantlet.admin.endpoints import endpoint_routes
from mantlet.admin.explain import explain_routes
from mantlet.admin.grants import grant_routes
from mantlet.admin.keys import key_routes
from mantlet.admin.kills import kill_routes
from mantlet.admin.leave import leave_routes
from mantlet.admin.limits import limit_routes
from mantlet.admin.pins import pin_routes
from mantlet.admin.reload import reload_routes
from mantlet.admin.restart import restart_routes
from mantlet.admin.tokens import token_routes
from mantlet.events.metrics import Metrics
from mantlet.node.build.built import Node
from mantlet.node.config.model import Config
from mantlet.node.operators.approvals import ApprovalsAdmin
from mantlet.node.operators.blocks import BlocksAdmin
from mantlet.node.operators.endpoints import EndpointsAdmin
from mantlet.node.operators.explain import running
from mantlet.node.operators.grants import GrantsAdmin
from mantlet.node.operators.keys import KeysAdmin
from mantlet.node.operators.kills import KillsAdmin
from mantlet.node.operators.limits import ClientLimits
from mantlet.node.operators.members import Member
from mantlet.node.operators.operations import NodeOperations
from mantlet.node.operators.pins import PinsAdmin
from mantlet.node.operators.tokens import TokensAdmin
from mantlet.node.running.leaving import Leaving
from mantlet.node.running.reload import Reload
from mantlet.node.running.restart import Restart
from mantlet.node.upstreams.resilience import keeps_fallbacks


def admin_app(
    node: Node,
    members: Callable[[], Sequence[Member]],
    *,
    own: Metrics | None = None,
    reload: Reload | None = None,
    restart: Restart | None = None,
    leaving: Leaving | None = None,
    whole: Callable[[], Config] | None = None,
) -> App:
    """The application behind the admin door. `whole` gives the configuration in force where `node` has a part of it."""
    config = whole or (lambda: node.current.generation.config)
    more = [
        *limit_routes(ClientLimits(lambda: node.current.generation.limits_admin)),
        *block_routes(BlocksAdmin(node.addresses, node.journal)),
        *key_routes(KeysAdmin(node.config, node.durable, node.journal)),
        *grant_routes(GrantsAdmin(config(), node.durable.database, node.journal, node.egress)),
        *token_routes(TokensAdmin(node.config, node.durable.database, node.journal)),
        *explain_routes(running(config, node.kills.switches, node.durable.api_keys.list)),
        *approval_routes(ApprovalsAdmin(node.approvals, node.journal)),
        *kill_routes(KillsAdmin(node.kills.switches, node.journal, config())),
        *restart_routes(restart),
        *leave_routes(leaving),
        *reload_routes(None if reload is None else partial(_reloaded, reload)),
        *endpoint_routes(EndpointsAdmin(node.drains, members, node.journal)),
        *_cache_routes(node, members, config),
        *pin_routes(PinsAdmin(node.pins, node.journal, node.settle_pins)),
    ]
    return build_app(NodeOperations(node.config, members, own, leaving), more)


def _cache_routes(node: Node, members: Callable[[], Sequence[Member]], config: Callable[[], Config]) -> Sequence[Any]:
    if not config().cache.enabled and not keeps_fallbacks(config()):
        return cache_routes(None)
    from mantlet.node.operators.cache import CacheAdmin

    return cache_routes(CacheAdmin(config, members, node.journal))


async def _reloaded(reload: Reload, by: str) -> dict[str, Any]:
    return (await reload(by)).as_json()
