"""What stands between the bridge and a server's transport: breaker, hedging, retries, as the configuration has them.

From the server outwards, so that each call that reaches a server has asked its breaker: a probe is made once, and what
opens a breaker ends the retries. With several endpoints each has a breaker of its own, and the server has none: one bad
endpoint must not cut off the others. Breakers stand in each process: what a worker sees of a server is its own.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from mantlet.core.clock import SYSTEM
from mantlet.core.definition import Definition
from mantlet.core.ports import Consents, Journal, Upstream
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import log
from mantlet.node.upstreams.definitions import Definitions
from mantlet.node.upstreams.vitals import Vitals
from mantlet.upstreams.breaker import Breaker, BreakerConfig, State
from mantlet.upstreams.endpoints import Endpoints
from mantlet.upstreams.guarded import Guarded
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.retry.config import RetryConfig

if TYPE_CHECKING:
    from mantlet.upstreams.fallback.step import Fallback

STATES: Final[Mapping[State, int]] = {"closed": 0, "half_open": 1, "open": 2}

DefinitionOf = Callable[[str, str], Definition | None]


class Resilient(Protocol):
    """What every server's section has of this."""

    @property
    def name(self) -> str:
        """The server's."""
        ...

    @property
    def breaker(self) -> BreakerConfig | None:
        """None: there is none."""
        ...

    @property
    def retry(self) -> RetryConfig | None:
        """None: nothing is made again."""
        ...

    @property
    def hedge(self) -> HedgeConfig | None:
        """None: nothing is made twice."""
        ...


class Resilience:
    """Of one process. `definition_of` comes when definitions are open, which is after the way to servers is."""

    def __init__(self, journal: Journal, metrics: Metrics, tasks: Tasks) -> None:
        self._journal = journal
        self._metrics = metrics
        self._tasks = tasks
        self.vitals = Vitals(journal, tasks)
        """Is told how endpoints are."""
        self.definition_of: DefinitionOf = lambda server, tool: None

    def breakers(self, config: Resilient) -> Callable[[str], Breaker] | None:
        """Makes the breaker of each endpoint of a server; None where it has none."""
        settings = config.breaker
        if settings is None:
            return None
        return lambda endpoint: self._breaker(config.name, endpoint, settings)

    def around(self, config: Resilient, upstream: Upstream) -> Upstream:
        """`upstream` with what its section asks for; itself, where that is nothing."""
        elsewhere = upstream.send if isinstance(upstream, Endpoints) else None
        guarded = upstream
        if config.breaker is not None and elsewhere is None:
            breaker = self._breaker(config.name, "", config.breaker)
            guarded = Guarded(upstream, breaker, config.breaker.patience, SYSTEM.monotonic)
        retry, hedge = config.retry, config.hedge
        if retry is None and hedge is None:
            return guarded
        from mantlet.upstreams.hedge.hedged import Hedged
        from mantlet.upstreams.retry.idempotent import Idempotent
        from mantlet.upstreams.retry.retried import Retried

        settings = retry or RetryConfig()
        is_idempotent = Idempotent(settings.tools, self._annotations if settings.trust_annotations else None)

        def tell(what: str) -> None:
            self._metrics.count("mantlet_upstream_repeats", config.name, what)

        if hedge is not None:
            hedged = Hedged(guarded, hedge, is_idempotent, self._tasks, elsewhere=elsewhere, tell=tell)
            guarded, elsewhere = hedged, None if elsewhere is None else hedged.send
        if retry is not None:
            guarded = Retried(
                guarded, retry, is_idempotent, clock=SYSTEM, chance=random.random, elsewhere=elsewhere, tell=tell
            )
        return guarded

    def take(self, definitions: Definitions) -> None:
        """What was approved of servers' tools is known from now on."""
        if definitions.pins is not None:
            self.definition_of = definitions.pins.definition_of

    def around_all(self, sections: Sequence[Any], upstreams: Mapping[str, Upstream]) -> dict[str, Upstream]:
        """Each of `upstreams` as its section among `sections` says."""
        by_name = {section.name: section for section in sections}
        return {name: self.around(by_name[name], upstream) for name, upstream in upstreams.items()}

    def fallback(self, config: Config, consents: Mapping[str, Consents]) -> "Fallback | None":
        """The step, or None where no server has any. `consents` are of servers asked by callers' own grants."""
        rules = {server.name: server.fallback for server in config.mcp.servers if server.fallback}
        if not rules:
            return None
        from mantlet.upstreams.fallback.answers import MemoryAnswers
        from mantlet.upstreams.fallback.plan import Plan
        from mantlet.upstreams.fallback.step import Fallback, Hear

        plans = {name: Plan(ways, self._annotations) for name, ways in rules.items()}
        hear: Hear | None = None
        if keeps_fallbacks(config) and not config.cache.enabled:  # else the cache listens, and tells
            from mantlet.policies.cache.hearing import heard

            hear = heard
        return Fallback(
            plans,
            MemoryAnswers(SYSTEM.monotonic),
            monotonic=SYSTEM.monotonic,
            tell=lambda server, source: self._metrics.count("mantlet_fallbacks", server, source),
            hear=hear,
            consents=consents,
        )

    def _breaker(self, server: str, endpoint: str, settings: BreakerConfig) -> Breaker:
        about = f"{server}/{endpoint}" if endpoint else server
        told: State = "closed"

        def changed(state: State, why: str) -> None:
            nonlocal told
            self._metrics.count("mantlet_breaker_transitions", server, state)
            if state in ("half_open", told):
                return  # a server that is gone for days must not fill the trail with what its probes find
            told = state
            log.warning(f"breaker.{state}", object=about, why=why)
            written = note(self._journal, SYSTEM, f"breaker.{state}", object=about, notes={"why": why})
            self._tasks.start(written, "breaker.record")

        breaker = Breaker(settings, SYSTEM.monotonic, random.random, changed)
        self._metrics.gauge(
            "mantlet_breaker_state",
            "0 closed, 1 half open, 2 open; the worst of all workers",
            lambda: STATES[breaker.state],
            "max",
            labels={"server": server, "endpoint": endpoint},
        )
        return breaker

    def _annotations(self, server: str, tool: str) -> Mapping[str, Any]:
        definition = self.definition_of(server, tool)
        return {} if definition is None else _annotations_in(definition.text)


def keeps_fallbacks(config: Config) -> bool:
    """Whether any server's last answers are kept for when it fails."""
    return any(rule.cached is not None for server in config.mcp.servers for rule in server.fallback or ())


@lru_cache(maxsize=4096)
def _annotations_in(text: str) -> Mapping[str, Any]:
    said = msgspec.json.decode(text).get("annotations")
    return said if type(said) is dict else {}
