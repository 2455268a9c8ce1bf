"""Callers' own grants at upstreams (`forward_identity: user`), joined from their rooms.

The books, with what they remember, live as long as the process; the pages and the step belong to a configuration.
"""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from mantlet import __version__
from mantlet.core.call import Arrival
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.policy import Policy
from mantlet.core.ports import Journal, Sealer, State
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.keys.seal import NodeSealer, open_sealer
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.oauth_client.logins import endpoints_of
from mantlet.node.oauth_client.registrations import CLIENT, described, registered, registered_at
from mantlet.node.path import Steps
from mantlet.node.resources import public_url
from mantlet.policies.authenticate.api_keys import ISSUER as KEYS
from mantlet.policies.authenticate.opening import own_issuer
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.authorization_server.grant import own_subject
from mantlet.policies.authorization_server.pending import Pending
from mantlet.policies.authorization_server.policy import AuthorizationServer as Pages
from mantlet.policies.authorization_server.policy import Endpoint
from mantlet.policies.away.logins import Logins
from mantlet.policies.away.trips import Trips
from mantlet.policies.grants.asked import Askings
from mantlet.policies.grants.connect import CALLBACK, CONNECT, PURPOSE, Connect
from mantlet.policies.grants.people import People
from mantlet.policies.grants.policy import Grants
from mantlet.policies.grants.port import PrincipalKey
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.grants import GrantRows
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.egress import Guard
from mantlet.upstreams.identity import Identity, UserConfig
from mantlet.upstreams.identity.config import audience_of
from mantlet.upstreams.identity.fields import About
from mantlet.upstreams.identity.user.asserted import Asserted
from mantlet.upstreams.identity.user.book import GrantBook
from mantlet.upstreams.identity.user.flow import GrantFlow
from mantlet.upstreams.identity.user.identity import ByGrant
from mantlet.upstreams.identity.user.kept import GrantKey, Row
from mantlet.upstreams.oauth import AuthorizationServer, Registration
from mantlet.wire import jsonrpc


class UserGrants:
    """All of one process."""

    def __init__(
        self,
        config: Config,
        guard: Guard,
        state: State,
        database: Database,
        journal: Journal,
        tasks: Tasks,
        opened: AsyncExitStack,
    ) -> None:
        self._config, self._guard, self._opened = config, guard, opened
        self._state, self._journal, self._tasks = state, journal, tasks
        self._root = public_url(config)
        self._sealer: NodeSealer = open_sealer(key_file(config))
        self._rows = KeptGrants(GrantRows(database))
        self.books: dict[str, GrantBook] = {}
        self._flows: dict[str, GrantFlow] = {}
        self._documents: dict[str, bytes] = {}

    def of(self, name: str, url: str, given: UserConfig, about: About) -> Identity:
        """The identity by which the upstream `name` at `url` is told of callers. Raises `ConfigError`."""
        registration = registered(name, given, self._root)
        server = self._server(registration, given.ca_file)
        resource = audience_of(url) if given.resource is None else given.resource
        if given.idp is not None:
            idp = self._server(registered_at(given.idp), given.idp.ca_file)
            asserted = Asserted(idp, server, about, SYSTEM, resource=resource, scope=given.scope)
            self._opened.push_async_callback(asserted.close)
            return asserted
        book = GrantBook(
            name,
            server,
            self._rows,
            self._sealer,
            self._sealer.key_id,
            self._state,
            SYSTEM,
            refresh_before_s=given.refresh_before,
            life_s=given.life,
            resource=resource,
            new_id=lambda: secrets.token_urlsafe(16),
            tell=self._tell,
        )
        self._opened.push_async_callback(book.close)
        redirect_uri = f"{self._root}{CALLBACK}/{name}"
        self.books[name] = book
        self._flows[name] = GrantFlow(
            book, redirect_uri, given.scope, given.parameters, urlsplit(url).netloc.rpartition("@")[2]
        )
        if given.client_id is None:
            self._documents[f"{CLIENT}/{name}"] = jsonrpc.encode(
                described(registration.client_id, redirect_uri, self._config.agent.name, given)
            )
        return ByGrant(name, book, about)

    def _server(self, registration: Registration, ca_file: str | None) -> AuthorizationServer:
        fetch = open_fetcher(self._config, self._guard, TlsConfig(ca_file=ca_file))
        self._opened.push_async_callback(fetch.close)
        return AuthorizationServer(registration, fetch, SYSTEM)

    def into(
        self,
        steps: Steps,
        authenticate: Authenticate | Disabled,
        sealer: Sealer,
        limits: Policy[Arrival] | None,
        logins: Logins | None,
    ) -> Steps:
        """`steps` with those of the grants."""
        config, is_secure = self._config, self._root.startswith("https://")
        askings = Askings(self._state)
        if isinstance(authenticate, Disabled):
            raise ConfigError("forward_identity", "user needs callers that are known, and auth.enabled is false")
        consents = Consents(
            sealer, Pending(self._state), authenticate.recognise, SYSTEM, is_secure=is_secure, purpose="connect"
        )
        serves = config.auth.server is not None and config.auth.server.enabled
        people = People(KEYS, own_issuer(config.auth.jwt, self._root) if serves else "", own_subject)
        trips = Trips(self._state, is_secure=is_secure, purpose=PURPOSE)
        connect = Connect(self._flows, askings, consents, trips, people, self._record, logins)
        step = Grants(
            self.books,
            askings,
            f"{self._root}{CONNECT}",
            SYSTEM,
            may_reach=steps.authorize.may_reach,
            can_prove=connect.can_prove,
            version=config.agent.version or __version__,
        )
        endpoints: dict[str, Endpoint] = {CONNECT: connect.connect, **endpoints_of(logins)}
        endpoints |= {f"{CALLBACK}/{name}": connect.callback for name in self._flows}
        return replace(steps, grants=step, connect=Pages(self._documents, endpoints, limits, "connect"))

    async def _record(self, event: str, upstream: str, principal: PrincipalKey) -> None:
        await note(self._journal, SYSTEM, event, object=upstream, principal="/".join(principal), tenant=principal[0])

    def _tell(self, event: str, key: GrantKey, why: str) -> None:
        principal = "/".join(key[1:])
        written = note(
            self._journal,
            SYSTEM,
            event,
            object=key.upstream,
            principal=principal,
            tenant=key.tenant,
            notes={"why": why},
        )
        self._tasks.start(written, event)


def key_file(config: Config) -> Path:
    """What grants are sealed with: beside the node's other keys, and not in what is copied when the database is."""
    return config.database.home / "keys" / "grants.key"


class KeptGrants:
    """`upstreams.identity.user.kept.Rows` in the database: the rows know columns, the book what they mean."""

    def __init__(self, rows: GrantRows) -> None:
        self._rows = rows

    async def find(self, key: GrantKey, /) -> Row | None:
        """One of them."""
        found = await self._rows.find(key)
        return None if found is None else Row(*found)

    async def put(self, key: GrantKey, row: Row, replaced: int | None, /) -> bool:
        """Keep it."""
        return await self._rows.put(key, row, replaced)

    async def drop(self, key: GrantKey, version: int | None = None, /) -> bool:
        """Forget it."""
        return await self._rows.drop(key, version)


def users_of(config: Config) -> Mapping[str, UserConfig]:
    """The upstreams that are told of callers by their own grants."""
    upstreams = [*(config.mcp.servers if config.mcp.enabled else ()), *config.http_upstreams]
    return {one.name: given for one in upstreams if (given := getattr(one, "user", None)) is not None}
