"""The composition root: the one place that joins rooms. Config in, one process of a node out, closed in reverse.

Four layers, each made of those before it: the ground (record, stores, keys, the way out), what calls reach (servers and
services), what outlives a reload (streams, sessions, switches), and the generation of the configuration in force. What
several processes of a node share comes in as `Shared`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mantlet.node.build.built import Node
from mantlet.node.build.generations import Generations
from mantlet.node.build.ground import open_ground
from mantlet.node.build.lasting import open_lasting
from mantlet.node.build.reached import open_reached
from mantlet.node.build.renewal import Renewal
from mantlet.node.config.model import Config
from mantlet.node.resources import public_url
from mantlet.node.shared import Shared


@asynccontextmanager
async def build(config: Config, shared: Shared) -> AsyncIterator[Node]:
    """Open everything that `config` names, and close it in reverse.

    Raises `ConfigError`, `ValueError` or `OSError` for what only opening can find.
    """
    async with AsyncExitStack() as opened:
        ground = await open_ground(config, shared, opened)
        reached = await open_reached(ground)
        lasting = await open_lasting(ground, reached)
        generations, current = Generations(ground, reached, lasting), lasting.current
        renewal = Renewal(current, generations.make, ground.tasks, generations.taken)
        opened.push_async_callback(renewal.close)
        await renewal.prepare(config)
        renewal.commit()
        ground.metrics.gauge(
            "mantlet_config_generation",
            "Which configuration is in force, counted from 1",
            lambda: current.generation.number,
            "max",
        )
        opened.push_async_callback(
            ground.tasks.close
        )  # first of all: nothing reads a database that is closed meanwhile
        yield Node(
            config=config,
            current=current,
            renewal=renewal,
            refuse=lasting.refuse,
            authenticate=lasting.identity,
            certificates=ground.certificates,
            record=lasting.record,
            addresses=lasting.addresses,
            journal=ground.journal,
            metrics=ground.metrics,
            limits=ground.limits,
            state=ground.state,
            post=ground.post,
            egress=ground.egress,
            fetch=ground.fetch,
            caller_limits=lasting.caller_limits,
            sealer=ground.sealer,
            upstreams=reached.servers,
            services=reached.services,
            drains=reached.drains,
            reached=[*reached.guarded.values(), *reached.guarded_services.values()],
            kills=lasting.kills,
            approvals=lasting.book,
            cache=lasting.cache,
            fallback=lasting.fallback,
            is_current=lasting.is_current,
            holds=lasting.holds,
            pins=lasting.definitions.pins,
            settle_pins=lasting.definitions.settle,
            durable=ground.durable,
            tasks=ground.tasks,
            new_id=lasting.new_id,
            sse=None if lasting.sse is None else lasting.sse.terms,
            public_url=public_url(config),
        )
