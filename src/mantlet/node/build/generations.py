"""How a generation is made: what one configuration decides, opened beside the one in force."""

from contextlib import AsyncExitStack
from dataclasses import replace

from mantlet.core.clock import SYSTEM
from mantlet.core.tasks import Tasks
from mantlet.node.build.current import Generation
from mantlet.node.build.ground import Ground
from mantlet.node.build.lasting import Lasting
from mantlet.node.build.reached import Reached
from mantlet.node.config.model import Config
from mantlet.node.egress import open_egress, open_strangers_fetcher
from mantlet.node.identity.opening import open_identity
from mantlet.node.oauth_client.browsers import open_logins, with_pages
from mantlet.node.path import Steps, messages, path
from mantlet.node.steps.filters import open_filters
from mantlet.node.steps.making import make_steps
from mantlet.node.steps.tally import with_tally
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.limits.status import LimitsAdmin
from mantlet.upstreams.egress import Guard


class Generations:
    """Makes them out of what outlives them."""

    def __init__(self, ground: Ground, reached: Reached, lasting: Lasting) -> None:
        self._ground, self._reached, self._lasting = ground, reached, lasting

    async def make(self, config: Config, number: int, tasks: Tasks, opened: AsyncExitStack) -> Generation:
        """What `config` decides. `tasks` and `opened` end with it. Raises what opening raises."""
        ground, lasting = self._ground, self._lasting
        guard = open_egress(config, ground.journal, ground.metrics, tasks)  # it knows the issuers of this configuration
        opened.push_async_callback(guard.close)
        authenticate = open_identity(
            config,
            opened,
            tasks,
            guard,
            ground.journal,
            ground.state,
            lasting.issuers,
            lasting.revoked,
            ground.durable.api_keys,
        )
        steps = self._steps(config, authenticate, tasks)
        steps = self._with_browsers(steps, config, authenticate, guard, opened)
        judge = None if lasting.addresses is None else lasting.addresses.refused
        steps = with_tally(steps, authenticate, judge, ground.journal, ground.metrics, tasks, opened)
        limits = LimitsAdmin(config.limits, ground.limits, SYSTEM)
        return Generation(number, config, steps, authenticate, limits, path(steps, lasting.sse), messages(steps))

    def taken(self, _: Generation) -> None:
        """What flows is held to the new configuration at once (AUTHZ-06)."""
        self._lasting.kills.targets.end_unless(self._lasting.current.allows)
        self._lasting.streams.check()

    def _steps(self, config: Config, authenticate: Authenticate | Disabled, tasks: Tasks) -> Steps:
        ground, lasting = self._ground, self._lasting
        steps = make_steps(
            config,
            record=lasting.record,
            addresses=lasting.addresses,
            authenticate=authenticate,
            streams=lasting.streams,
            kills=lasting.kills,
            limits=ground.limits,
            upstreams=self._reached.servers,
            services=self._reached.guarded_services,
            aggregate=lasting.aggregate,
            sealer=ground.sealer,
            forward=lasting.forward,
            definitions=lasting.definitions,
            filters=open_filters(config, ground.journal, ground.metrics, tasks, lasting.definitions.schemas),
            approvals=lasting.approvals,
        )
        if lasting.cache is not None:
            steps = replace(steps, cache=lasting.cache.step(config))
        if lasting.fallback is not None:
            steps = replace(steps, fallback=lasting.fallback)
        return steps

    def _with_browsers(
        self,
        steps: Steps,
        config: Config,
        authenticate: Authenticate | Disabled,
        guard: Guard,
        opened: AsyncExitStack,
    ) -> Steps:
        """`steps` with the node's own authorization server, and with the pages for consents and logins."""
        ground, lasting = self._ground, self._lasting
        logins = open_logins(config, authenticate, guard, ground.state, opened)
        if config.auth.server is not None:
            from mantlet.node.identity.authorization_server import ServerPorts, open_authorization_server

            strangers = open_strangers_fetcher(config, guard, opened)
            ports = ServerPorts(ground.state, ground.sealer, ground.limits, strangers, ground.durable.database)
            server = open_authorization_server(
                config, authenticate, lasting.revoked, steps.caller_limits, ports, logins
            )
            steps = replace(steps, authorization_server=server)
        return with_pages(steps, authenticate, ground.sealer, self._reached.grants, logins)
