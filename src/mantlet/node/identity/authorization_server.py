"""The node's own authorization server, joined from its rooms: keys sign, the database keeps logins, the path asks."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from mantlet.core.api_key import ALPHABET
from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.policy import Policy
from mantlet.core.ports import Fetch, LimitStore, Sealer, State
from mantlet.core.refusal import InvalidCredential
from mantlet.keys.api_keys import read_pepper
from mantlet.keys.signing import KeyPair
from mantlet.keys.tokens import issue
from mantlet.node.config.model import Config
from mantlet.node.identity import own_keys
from mantlet.node.identity.own_keys import own_key, own_ring
from mantlet.node.resources import public_url, resources
from mantlet.policies.authenticate.issuers.provider import Issuers
from mantlet.policies.authenticate.opening import own_issuer, parts_of
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authenticate.revoked import Revoked
from mantlet.policies.authorization_server import assertion, token
from mantlet.policies.authorization_server.client_metadata import ClientMetadata
from mantlet.policies.authorization_server.clients import Clients
from mantlet.policies.authorization_server.code import CodeFlow
from mantlet.policies.authorization_server.config import ServerConfig
from mantlet.policies.authorization_server.consent import Consents
from mantlet.policies.authorization_server.device import DeviceFlow
from mantlet.policies.authorization_server.documents import (
    AUTHORIZE,
    DEVICE,
    DEVICE_AUTHORIZATION,
    DEVICE_GRANT,
    JWT_BEARER,
    REVOKE,
    TOKEN,
    documents,
)
from mantlet.policies.authorization_server.grant import Grant
from mantlet.policies.authorization_server.issuing import Issuing, Signed
from mantlet.policies.authorization_server.login import Login, Step, step
from mantlet.policies.authorization_server.pending import Pending
from mantlet.policies.authorization_server.policy import AuthorizationServer, Endpoint
from mantlet.policies.away.logins import Logins
from mantlet.policies.limits.client import network_of
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.logins import LoginRows, Row
from mantlet.wire.jws import parse

ID_CHARACTERS: Final = 22
"""Base62: 131 bits."""


@dataclass(frozen=True, slots=True)
class ServerPorts:
    """What the processes of a node have in common, and the way out."""

    state: State
    sealer: Sealer
    limits: LimitStore
    fetch: Fetch
    database: Database


def open_authorization_server(
    config: Config,
    authenticate: Authenticate | Disabled,
    revoked: Revoked,
    limits: Policy[Arrival] | None,
    ports: ServerPorts,
    logins: Logins | None = None,
) -> AuthorizationServer | None:
    """The step that answers its paths; None where it is not configured. Raises `ConfigError`."""
    server = config.auth.server
    if server is None or not server.enabled:
        return None
    if isinstance(authenticate, Disabled):
        raise ConfigError("auth.server", "there is nobody to ask while auth.enabled is false")
    key, root = own_key(config.auth.jwt), public_url(config)
    issuer = own_issuer(config.auth.jwt, root)
    issuing = Issuing(
        server,
        issuer=issuer,
        audience=config.auth.jwt.audience or f"{root}/mcp",
        parts=parts_of(root, resources(config)),
        sign=_Sign(key, issuer, config.environment),
        read=_reader(config, issuer),
        logins=KeptLogins(LoginRows(ports.database)),
        revoked=revoked,
        holds=partial(_holds, authenticate),
        key=read_pepper(config.database.pepper_path),
        clock=SYSTEM,
        new_id=lambda: "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS)),
    )
    grants: dict[str, token.GrantType] = {"refresh_token": token.refresh(issuing)}
    if server.client_credentials:
        grants["client_credentials"] = token.client_credentials(issuing)
    if server.assertions.issuers:
        grants[JWT_BEARER] = assertion.jwt_bearer(
            server.assertions, issuing, Pending(ports.state), _asserted(server, authenticate, issuer), SYSTEM
        )
    metadata = ClientMetadata(server.client_metadata, ports.fetch, SYSTEM) if server.client_metadata.enabled else None
    clients = Clients(server.known, authenticate.recognise, metadata)
    endpoint = token.TokenEndpoint(clients, issuing, grants)
    endpoints: dict[str, Endpoint] = {TOKEN: endpoint.token, REVOKE: endpoint.revoke}
    if server.known or metadata is not None:
        _add_flows(server, clients, issuing, authenticate, ports, root, grants, endpoints, logins)
    published = documents(
        server, issuer=issuer, public_url=root, jwks=own_keys.published(config.auth.jwt), grants=grants
    )
    return AuthorizationServer(published, endpoints, limits)


def _add_flows(
    server: ServerConfig,
    clients: Clients,
    issuing: Issuing,
    authenticate: Authenticate,
    ports: ServerPorts,
    root: str,
    grants: dict[str, token.GrantType],
    endpoints: dict[str, Endpoint],
    logins: Logins | None,
) -> None:
    pending = Pending(ports.state)

    def consents(purpose: str) -> Consents:
        return Consents(
            ports.sealer,
            pending,
            authenticate.recognise,
            SYSTEM,
            is_secure=root.startswith("https://"),
            purpose=purpose,
        )

    if server.device.enabled:
        device = DeviceFlow(
            server.device,
            clients,
            issuing,
            pending,
            consents("device"),
            ports.limits,
            SYSTEM,
            public_url=root,
            network_of=network_of,
            logins=logins,
        )
        grants[DEVICE_GRANT] = device.redeem()
        endpoints |= {DEVICE_AUTHORIZATION: device.begin, DEVICE: device.page}
    if server.code.enabled:
        code = CodeFlow(server.code, clients, issuing, pending, consents("code"), logins)
        grants["authorization_code"] = code.redeem()
        endpoints[AUTHORIZE] = code.page


def _asserted(server: ServerConfig, authenticate: Authenticate, issuer: str) -> assertion.Asserted:
    names, issuers = server.assertions.issuers, authenticate.provider(Issuers)
    missing = sorted(set(names) - set(() if issuers is None else issuers.names))
    if issuers is None or missing:
        raise ConfigError("auth.server.assertions.issuers", f"{missing[0]!r} is no entry of auth.issuers")
    return partial(issuers.asserted, by=frozenset(names), audience=issuer)


async def _holds(authenticate: Authenticate, caller: Caller) -> bool:
    await authenticate.recall(caller)
    return authenticate.is_current(caller)


class _Sign:
    def __init__(self, key: KeyPair, issuer: str, environment: str) -> None:
        self._key, self._issuer, self._environment = key, issuer, environment

    def __call__(self, grant: Grant, /, *, scopes: Collection[str], origin: str, life_s: int) -> Signed:
        issued = issue(
            self._key,
            issuer=self._issuer,
            audience=grant.audience,
            subject=grant.subject,
            now_s=SYSTEM.wall(),
            life_s=life_s,
            tenant=grant.tenant,
            roles=grant.roles,
            scopes=scopes,
            kind=grant.kind,
            client_id=grant.client_id,
            environment=self._environment,
            origin=origin,
        )
        return Signed(issued.token, issued.expires_at_s)


def _reader(config: Config, issuer: str) -> Callable[[bytes], Mapping[str, Any] | None]:
    ring = own_ring(config.auth.jwt)

    def read(text: bytes) -> Mapping[str, Any] | None:
        try:
            jws = parse(text)
            if ring is None or jws.claims.get("iss") != issuer:
                return None
            ring.check(jws)
        except InvalidCredential:
            return None
        return jws.claims

    return read


class KeptLogins:
    """`Logins` in the database: the rows know columns, the decisions are the policy's."""

    def __init__(self, rows: LoginRows) -> None:
        self._rows = rows

    async def create(self, login: Login, max_logins: int, /) -> Sequence[str]:
        """Keep a new one."""
        return await self._rows.create(_row_of(login), max_logins)

    async def find(self, family: str, /) -> Login | None:
        """One of them."""
        return _login_of(await self._rows.find(family))

    async def advance(self, family: str, number: int, /, *, now_s: float, idle_s: float) -> Step:
        """Spend a number, once."""
        decided: Step = await self._rows.advance(  # type: ignore[assignment]  # what `step` gives, handed back
            family, lambda row: step(_login_of(row), number, now_s=now_s, idle_s=idle_s), now_s
        )
        return decided

    async def end(
        self, *, now_s: float, family: str = "", via: str = "", client_id: str = "", tenant: str = "", subject: str = ""
    ) -> Sequence[str]:
        """End those that the words fit."""
        return await self._rows.end(
            now_s=now_s, login_id=family, via=via, client_id=client_id, tenant=tenant, subject=subject
        )


def _row_of(login: Login) -> Row:
    grant = login.grant
    text = msgspec.json.encode(grant).decode()
    times = (login.created_at_s, login.used_at_s, login.expires_at_s, login.ended_at_s)
    return Row(login.id, grant.client_id, grant.tenant, grant.subject, grant.via, text, login.number, *times)


def _login_of(row: Row | None) -> Login | None:
    if row is None:
        return None
    grant = msgspec.json.decode(row.granted, type=Grant)
    return Login(row.id, grant, row.number, row.created_at_s, row.used_at_s, row.expires_at_s, row.ended_at_s)
