"""What each upstream is told of a caller, made from its config: keys, secrets and fetchers come together here."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from mantlet import __version__
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Journal, State
from mantlet.core.secret import Secret
from mantlet.core.tasks import Tasks
from mantlet.keys.files import read_secret
from mantlet.keys.jwk import write_set
from mantlet.keys.signing import KeyPair, make_signing_key, read_pem
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.resources import public_url
from mantlet.stores.sql.database import Database
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.egress import Guard
from mantlet.upstreams.identity import EncryptConfig, ExchangeConfig, Identity
from mantlet.upstreams.identity.at_issuer import AtIssuer, Client
from mantlet.upstreams.identity.claims import Terms
from mantlet.upstreams.identity.config import Told, audience_of
from mantlet.upstreams.identity.exchanged import Exchanged
from mantlet.upstreams.identity.fields import About
from mantlet.upstreams.identity.passed import Passed
from mantlet.upstreams.identity.sealed import Sealed
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.openapi import OpenApiServerConfig

if TYPE_CHECKING:
    from mantlet.keys.forwarded import Recipient
    from mantlet.node.oauth_client.grants import UserGrants


class Forwarding:
    """Makes the identity of each upstream. Nothing is made, read or imported for those that are told nothing."""

    def __init__(
        self, config: Config, guard: Guard, opened: AsyncExitStack, grants: "UserGrants | None" = None
    ) -> None:
        self._config, self._guard, self._opened, self._grants = config, guard, opened, grants
        self._about = About(config.agent.version or __version__, is_development=config.environment == "development")

    def of(self, name: str, url: str, upstream: Told) -> Identity | None:
        """What the upstream `name` at `url` is told; None for nothing. Raises `ConfigError` or what keys raise."""
        match upstream.forward_identity:
            case None | "none" | "static":
                return None
            case "passthrough":
                return Passed(self._about, self._config.environment)
            case "exchange":
                return self._exchange(url, upstream.exchange or ExchangeConfig())
            case "encrypt":
                return self._encrypt(name, url, upstream.encrypt or EncryptConfig())
            case "user":
                if self._grants is None or upstream.user is None:
                    raise ConfigError(f"{name}: forward_identity", "user has no grants to look for", "the section user")
                return self._grants.of(name, url, upstream.user, self._about)

    def _exchange(self, url: str, given: ExchangeConfig) -> Identity:
        terms = self._terms(url, given)
        if given.issuer is None:
            from mantlet.keys.forwarded import signer

            return Exchanged(terms, self._about, signer(signing_key(self._config)), new_id, SYSTEM)
        fetch = open_fetcher(self._config, self._guard, TlsConfig(ca_file=given.ca_file))
        self._opened.push_async_callback(fetch.close)
        secret = given.client_secret or read_secret(given.client_secret_file or "")
        client = Client(given.issuer, given.client_id or "", secret, given.token_endpoint or "")
        asked = AtIssuer(client, terms.audience, terms.scopes, self._about, fetch, SYSTEM, terms.life_s)
        self._opened.push_async_callback(asked.close)
        return asked

    def _encrypt(self, name: str, url: str, given: EncryptConfig) -> Identity:
        from mantlet.keys.forwarded import sealer_to, sealer_with

        key = agent_key(self._config, name, given)
        seal = sealer_with(key) if isinstance(key, Secret) else sealer_to(key, signing_key(self._config))
        return Sealed(self._terms(url, given), self._about, seal, new_id, SYSTEM)

    def _terms(self, url: str, given: ExchangeConfig | EncryptConfig) -> Terms:
        config = self._config
        return Terms(
            issuer=issuer_of(config),
            actor=config.agent.name,
            audience=given.audience or audience_of(url),
            environment=config.environment,
            life_s=min(given.life, config.inter_agent.max_token_age),
            scopes=frozenset(given.scope),
            roles=frozenset(given.roles),
            subject=given.subject,
            max_actors=given.max_actors,
        )


def agent_key(config: Config, name: str, given: EncryptConfig) -> "Secret | Recipient":
    """What tokens for one agent are sealed with. Raises `ConfigError`."""
    from mantlet.keys.forwarded import derive, read_recipient

    if given.public_key_file is not None:
        return read_recipient(given.public_key_file)
    if (master := config.inter_agent.communication_key) is not None:
        return derive(master, given.agent or name)
    raise ConfigError(
        f"{name}: forward_identity",
        "encrypt needs a key of the agent",
        "encrypt.public_key_file, or inter_agent.communication_key (AGENT_COMMUNICATION_KEY)",
    )


def open_grants(
    config: Config,
    guard: Guard,
    state: State,
    database: Database,
    journal: Journal,
    tasks: Tasks,
    opened: AsyncExitStack,
) -> "UserGrants | None":
    """Callers' own grants; None where no upstream is told of callers by them."""
    if not any(upstream.forward_identity == "user" for upstream in _told(config)):
        return None
    from mantlet.node.oauth_client.grants import UserGrants

    return UserGrants(config, guard, state, database, journal, tasks, opened)


def rehearse(config: Config) -> Iterator[tuple[str, Callable[[], object]]]:
    """What would be made at start, to see whether it can be; nothing is written."""
    for upstream in _told(config):
        if upstream.forward_identity == "encrypt":
            given, name = upstream.encrypt or EncryptConfig(), upstream.name
            yield f"{name}.forward_identity", partial(agent_key, config, name, given)
        if upstream.user is not None:
            from mantlet.node.oauth_client.registrations import rehearsed  # not waited for where there are none

            yield f"{upstream.name}.user", partial(rehearsed, config, upstream.name, upstream.user)


def issuer_of(config: Config) -> str:
    """The `iss` of what this node signs: `auth.jwt` may as well describe somebody else's tokens."""
    jwt = config.auth.jwt
    return jwt.issuer if jwt.issuer and _own_key(config) is not None else public_url(config)


def key_set(config: Config) -> bytes:
    """The public keys by which others check what this node signs, as it publishes them; empty when it signs nothing."""
    return write_set([signing_key(config).jwk]) if any(map(_is_signed, _told(config))) else b""


def signing_key(config: Config) -> KeyPair:
    """The node's own key: that of `auth.jwt.key_file` where it is a private one, else one that is made once."""
    if (pair := _own_key(config)) is not None:
        return pair
    path = config.database.home / "keys" / "signing.key"
    if not path.exists():
        with suppress(FileExistsError):  # another process was first: its key is the one
            make_signing_key(path)
    return read_pem(path)


def _own_key(config: Config) -> KeyPair | None:
    given = config.auth.jwt.key_file
    pair = read_pem(given) if given else None
    return pair if pair is not None and pair.private is not None else None


def _told(config: Config) -> Iterator[Told]:
    for server in config.mcp.servers if config.mcp.enabled else ():
        if isinstance(server, HttpServerConfig | OpenApiServerConfig):
            yield server
    yield from config.http_upstreams


def _is_signed(upstream: Told) -> bool:
    match upstream.forward_identity:
        case "exchange":
            return upstream.exchange is None or upstream.exchange.issuer is None
        case "encrypt":
            return upstream.encrypt is not None and upstream.encrypt.public_key_file is not None
    return False


def new_id() -> str:
    """What no other token has."""
    return secrets.token_urlsafe(16)
