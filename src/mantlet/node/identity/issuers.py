"""The identity providers that the config names: how they are reached, and what is written down of them."""

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Fetch, Fetched, Journal, State
from mantlet.core.refusal import Refusal, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import record_of
from mantlet.events.metrics import Metrics
from mantlet.keys.files import read_secret
from mantlet.keys.proof import check_proof
from mantlet.keys.ring import published_ring
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.housekeeping import tell
from mantlet.node.resources import is_found, public_url, resources
from mantlet.node.upstreams.forwarding import key_set
from mantlet.policies.authenticate.dpop.opening import open_dpop
from mantlet.policies.authenticate.dpop.proofs import DpopProofs
from mantlet.policies.authenticate.introspection.held import HeldTokens
from mantlet.policies.authenticate.issuers.kept import Kept, keep_fresh
from mantlet.policies.authenticate.issuers.opening import Opened, Ports, Where, open_issuers
from mantlet.policies.authenticate.issuers.source import Learned
from mantlet.policies.authenticate.opening import own_audience, own_issuer, parts_of
from mantlet.policies.published.policy import Published
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.client.tls import context
from mantlet.upstreams.egress import Guard

FAILED: Final = "issuer.failed"


class KnownIssuers:
    """What is known of issuers, from one configuration to the next."""

    def __init__(self, metrics: Metrics, tasks: Tasks) -> None:
        self._kept: Mapping[Where, Kept[Learned]] = {}
        self._metrics = metrics
        self.held = HeldTokens(SYSTEM, tasks)

    def take(self, kept: Mapping[Where, Kept[Learned]]) -> None:
        """Another configuration is opened: it begins with what is known already."""
        for where, one in kept.items():
            if (known := self._kept.get(where)) is not None:
                one.take_over(known)
        self._kept = kept
        if kept:
            self._metrics.gauge(
                "mantlet_issuer_keys_age_seconds",
                "Age of the oldest keys of an issuer",
                lambda: max((one.age_s for one in self._kept.values()), default=0.0),
                "max",
            )


def open_token_issuers(
    config: Config, guard: Guard, journal: Journal, tasks: Tasks, opened: AsyncExitStack, known: KnownIssuers
) -> Opened:
    """Their providers, whose keys are fetched in the background from now on. Raises `ConfigError`."""
    fetchers: dict[str | None, Fetch] = {}

    def fetch(ca_file: str | None) -> Fetch:
        if ca_file not in fetchers:
            fetcher = open_fetcher(config, guard, TlsConfig(ca_file=ca_file))
            opened.push_async_callback(fetcher.close)
            fetchers[ca_file] = fetcher
        return fetchers[ca_file]

    def told(level: str, event: str, fields: Any) -> None:
        tell(level, event, fields)
        if event == FAILED:
            tasks.start(_write(journal, str(fields["issuer"]), str(fields["said"])), FAILED)

    found = _open(config, Ports(fetch, published_ring, read_secret, SYSTEM, tasks, told, known.held))
    known.take(found.kept)
    for kept in found.kept.values():
        tasks.start(keep_fresh(kept, random.random), "issuer.keys")
    return found


def check_issuers(config: Config) -> None:
    """Raise what opening them would raise, without a connection."""

    async def never(method: str, url: str, /, **more: Any) -> Fetched:
        raise UpstreamUnavailable(why="nothing is asked while looking")

    def fetch(ca_file: str | None) -> Fetch:
        if ca_file is not None:
            context(TlsConfig(ca_file=ca_file))
        return never

    tasks = Tasks(lambda error: None)
    _open(config, Ports(fetch, published_ring, read_secret, SYSTEM, tasks, tell, HeldTokens(SYSTEM, tasks)))


def _open(config: Config, ports: Ports) -> Opened:
    url, published, jwt = public_url(config), resources(config), config.auth.jwt
    return open_issuers(
        config.auth.issuers,
        ports,
        environment=config.environment,
        audience=own_audience(url, published),
        parts=parts_of(url, published),
        checks_audience=config.auth.validate.audience is not False,
        taken=[own_issuer(jwt, url)] if jwt.has_key else [],
    )


def open_proofs(config: Config, state: State) -> DpopProofs | None:
    """The check of DPoP proofs, or None where none are taken. Raises `ConfigError`."""
    return open_dpop(
        config.auth.dpop, check_signature=check_proof, state=state, clock=SYSTEM, public_url=public_url(config)
    )


def published(config: Config) -> Published:
    """The metadata of each resource: whose tokens are taken, and the scopes that a first token needs (OAUTH-01)."""
    auth = config.auth
    serves = auth.server is not None and auth.server.enabled
    own = own_issuer(auth.jwt, public_url(config)) if serves else auth.jwt.issuer or ""
    issuers = [own] if auth.jwt.has_key and (serves or own.startswith("https://")) else []
    return Published(
        public_url(config),
        resources(config) if is_found(config) else [],
        [*issuers, *(each.issuer for each in auth.issuers)],
        {scope for each in auth.issuers for scope in each.required_scopes},
        auth.dpop.algorithms if auth.dpop.enabled else (),
        key_set(config),
    )


async def _write(journal: Journal, name: str, said: str) -> None:
    record = record_of(FAILED, at_s=SYSTEM.wall(), object=name, verdict="error", reason="issuer_unavailable", why=said)
    try:
        await journal.append(record)
    except Refusal:
        return  # nothing was let through, and the failing journal has told of itself
