"""What an environment refuses to start with (CFG-01): all reasons at once, each with its fix.

Production refuses the most, and what it refuses can be accepted only by name in `accept_risks`. Some things cannot be
accepted at all: a secret that the world knows, a door that is for development.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_guessable, why_weak
from mantlet.node.config.inert import inert
from mantlet.node.config.model import Config, Environment
from mantlet.node.config.problem import Problem
from mantlet.stores.config import StoreConfig
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.upstreams.transports.tcp.config import TcpServerConfig

EVERYWHERE: Final[frozenset[Environment]] = frozenset({"development", "staging", "production"})
SHARED: Final[frozenset[Environment]] = frozenset({"staging", "production"})
PRODUCTION: Final[frozenset[Environment]] = frozenset({"production"})


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that may be wrong: where it is refused, and whether it can be accepted by name."""

    environments: frozenset[Environment]
    fix: str
    is_acceptable: bool = True


RISKS: Final[dict[str, Risk]] = {
    # Secrets that an attacker already has: nowhere, and no name makes them good (TOK-12).
    "weak_secret": Risk(EVERYWHERE, "make a new one: `openssl rand -hex 32`, in a file of mode 0600", False),
    "weak_key": Risk(EVERYWHERE, "make a new one: `mantlet init` and `mantlet keys create` do", False),
    "exposed_secret": Risk(EVERYWHERE, "have it owned by the user that runs the node, and readable by nobody else"),
    "auth_off": Risk(SHARED, "set auth.enabled: true", False),
    "mock_tokens": Risk(SHARED, "take auth.mock out; it is for development", False),
    "limits_off": Risk(SHARED, "set limits.enabled: true"),
    "passthrough": Risk(SHARED, "forward an exchanged or encrypted identity instead", False),
    "no_verification": Risk(SHARED, "verify certificates; name your own CA with tls.ca_file"),
    "unvalidated_tokens": Risk(SHARED, "take it out: tokens made for others would pass", False),
    # Asked for by name in `auth` or `inter_agent`: no environment lets it pass.
    "forced": Risk(EVERYWHERE, "mend it, or take out the setting that asks for more than the environment", False),
    "plain_issuer": Risk(SHARED, "take it out: tokens could be forged by whoever is on the way", False),
    "unbound_tokens": Risk(EVERYWHERE, "set it, or agent.url", False),
    "plain_upstream": Risk(PRODUCTION, "use https:// or wss://, or tls on a TCP server"),
    "plain_database": Risk(PRODUCTION, "use sslmode=verify-full, with database.ca_file for a CA of your own"),
    "plaintext": Risk(PRODUCTION, "set its cert_file and key_file, or name the TLS terminator in trusted_proxies"),
    "open_cors": Risk(PRODUCTION, "list the origins"),
    "debug": Risk(PRODUCTION, "set debug: false"),
    "long_tokens": Risk(PRODUCTION, "set auth.jwt.max_token_age: 3600 or less", False),
    "default_allow": Risk(PRODUCTION, "set authorization.default: deny and write rules", False),
    "unknown_methods": Risk(PRODUCTION, "set mcp.unknown_methods: deny"),
    "admin_exposed": Risk(PRODUCTION, "bind admin.host to loopback or to one inner address"),
    "audit_gaps": Risk(PRODUCTION, "set audit.on_failure: refuse", False),
    "fail_open": Risk(PRODUCTION, "set limits.on_store_failure: local_share or closed"),
    "open_store": Risk(
        PRODUCTION, "give the store a password: store.password_file, or valkey://:${VALKEY_PASSWORD}@host"
    ),
    "unchecked_arguments": Risk(PRODUCTION, "set validation.schemas: enforce"),
    "unpinned_tools": Risk(
        PRODUCTION, "set mcp.pins.mode: approve, and write the lock file: `mantlet pins check --write`"
    ),
    "docker_socket": Risk(PRODUCTION, "use a socket proxy instead of the container engine's socket"),
    "not_enforced": Risk(PRODUCTION, "take it out, or accept that it has no effect in this version"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason not to start. `message` never holds a secret."""

    risk: str
    key: str
    message: str

    @property
    def fix(self) -> str:
        """What to do about it."""
        return RISKS[self.risk].fix

    @property
    def is_acceptable(self) -> bool:
        """Whether naming the risk in `accept_risks` lets the node start."""
        return RISKS[self.risk].is_acceptable

    def __str__(self) -> str:
        way = f" (or accept_risks: [{self.risk}])" if self.is_acceptable else ""
        return f"{self.key}: {self.message}; {self.fix}{way}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What stands against starting, what was accepted by name, and what another environment would refuse."""

    refused: tuple[Reason, ...]
    accepted: tuple[Reason, ...]
    elsewhere: tuple[Reason, ...]


def judge(config: Config, exposed: Iterable[Problem] = ()) -> Judgement:
    """Everything that is risky about `config`, sorted by what its environment makes of it.

    Nothing here looks at the machine: `exposed` are the secret files that the loader found open to others.
    """
    refused: list[Reason] = []
    accepted: list[Reason] = []
    elsewhere: list[Reason] = []
    for reason in _reasons(config, exposed):
        if config.environment not in RISKS[reason.risk].environments:
            elsewhere.append(reason)
        elif reason.is_acceptable and reason.risk in config.accept_risks:
            accepted.append(reason)
        else:
            refused.append(reason)
    return Judgement(tuple(refused), tuple(accepted), tuple(elsewhere))


def is_let(risk: str, config: Config) -> bool:
    """Whether `config` may run with `risk`: its environment does not refuse it, or it was accepted by name."""
    known = RISKS[risk]
    if risk == "plain_upstream" and config.inter_agent.force_https:
        return False
    return config.environment not in known.environments or (known.is_acceptable and risk in config.accept_risks)


def _reasons(config: Config, exposed: Iterable[Problem]) -> Iterator[Reason]:
    for problem in exposed:
        yield Reason("exposed_secret", problem.key, problem.message)
    yield from _secrets(config)
    yield from _identity(config)
    yield from _doors(config)
    yield from _upstreams(config)
    yield from _guards(config)
    for key in inert(config):
        yield Reason("not_enforced", key, "is understood, but not acted on in this version")


def _secrets(config: Config) -> Iterator[Reason]:
    holders: dict[Secret, str] = {}
    secrets = [("weak_secret", "auth.jwt.secret", config.auth.jwt.secret)]
    secrets += [("weak_secret", "inter_agent.communication_key", config.inter_agent.communication_key)]
    secrets += [("weak_key", f"auth.api_keys.{key.name}", key.key) for key in config.auth.api_keys]
    secrets += [("weak_key", f"{name}.auth_token", getattr(config, name).auth_token) for name in ("websocket", "tcp")]
    for risk, name, secret in secrets:
        if secret is None:
            continue
        if why := why_weak(secret.reveal()):
            yield Reason(risk, name, why)
        if (other := holders.setdefault(secret, name)) != name:
            yield Reason("weak_key", name, f"is the same secret as {other}")


def _identity(config: Config) -> Iterator[Reason]:
    auth = config.auth
    if not auth.enabled:
        yield Reason("auth_off", "auth.enabled", "everybody would be let in unauthenticated")
    if auth.mock.tokens:
        yield Reason("mock_tokens", "auth.mock.tokens", "tokens that anybody can guess would be accepted")
    if auth.jwt.has_key and not config.agent.url:
        for name in ("issuer", "audience"):
            if not getattr(auth.jwt, name) and getattr(auth.validate, name) is not False:
                yield Reason("unbound_tokens", f"auth.jwt.{name}", "is not set, so tokens made for others would pass")
    for name in ("issuer", "audience", "introspection"):
        if getattr(auth.validate, name) is False:
            yield Reason("unvalidated_tokens", f"auth.validate.{name}", "is off")
    yield from _issuers(config)
    if config.inter_agent.max_token_age > 3600:
        key = "inter_agent.max_token_age"
        yield Reason("long_tokens", key, f"is {config.inter_agent.max_token_age} s, above 3600")
    if auth.jwt.max_token_age > 3600:
        yield Reason("long_tokens", "auth.jwt.max_token_age", f"is {auth.jwt.max_token_age:g} s, above 3600")


def _issuers(config: Config) -> Iterator[Reason]:
    must = config.auth.require_https
    if must is False:
        yield Reason("plain_issuer", "auth.require_https", "is off: keys of tokens could be changed on their way")
    for issuer in config.auth.issuers:
        key = f"auth.issuers.{issuer.name}"
        if must and not issuer.issuer.startswith("https://"):
            yield Reason("forced", f"{key}.issuer", "is not https://, and auth.require_https is on")
        if config.auth.validate.introspection and not issuer.introspection.enabled:
            yield Reason("forced", f"{key}.introspection", "is off, and auth.validate.introspection is on")


def _doors(config: Config) -> Iterator[Reason]:
    for name, door in (("http", config.http), ("websocket", config.websocket), ("tcp", config.tcp)):
        if door.enabled and not is_loopback(door.host) and not door.tls.is_on and not door.trusted_proxies:
            said = f"tokens would cross the network in clear: {door.host} is not loopback"
            yield Reason("plaintext", f"{name}.tls", said)
    admin = config.admin
    if admin.enabled and not is_loopback(admin.host) and not admin.tls.is_on:
        # No `trusted_proxies` here: whoever operates a node sends a token that may do anything.
        said = f"operators' tokens would cross the network in clear: {admin.host} is not loopback"
        yield Reason("plaintext", "admin.tls", said)
    origins = (
        ("http.cors_origins", config.http.cors_origins),
        ("websocket.allowed_origins", config.websocket.allowed_origins),
    )
    for name, listed in origins:
        # `null` is what a browser says for every page in a sandboxed frame or a file: no name of anybody's.
        if "*" in listed or "null" in {origin.strip().lower() for origin in listed}:
            yield Reason("open_cors", name, "any web site could call from its visitors' browsers")
    if config.debug:
        yield Reason("debug", "debug", "replies and logs would tell internals")
    if config.admin.enabled and is_wildcard(config.admin.host):
        yield Reason("admin_exposed", "admin.host", f"{config.admin.host} opens the admin API to every network")


def _upstreams(config: Config) -> Iterator[Reason]:
    # What was asked for by name is not for an environment to let pass.
    plain = "forced" if config.inter_agent.force_https else "plain_upstream"
    clear = "forced" if config.inter_agent.encrypt_forwarded_tokens else "passthrough"
    if config.inter_agent.force_https is False:
        yield Reason("plain_upstream", "inter_agent.force_https", "is off: agents could be called in clear")
    if not config.inter_agent.verify_certificates:
        yield Reason("no_verification", "inter_agent.verify_certificates", "is off: anybody could answer")
    urls = [("agent.url", config.agent.url)]
    for server in config.mcp.servers:
        key = f"mcp.servers.{server.name}"
        urls.append((f"{key}.url", getattr(server, "url", None)))
        urls += [(f"{key}.endpoints", one) for one in _endpoint_urls(server)]
        if (tls := getattr(server, "tls", None)) is not None and not tls.verify:
            yield Reason("no_verification", f"{key}.tls.verify", "is off: anybody could answer")
        if isinstance(server, TcpServerConfig) and server.tls is None:
            yield Reason(plain, f"{key}.tls", "is not set, and TCP alone is not encrypted")
        yield from _told(key, getattr(server, "forward_identity", None), clear)
    urls += [(f"remote_agents.{agent.name}", agent.agent_card_url) for agent in config.remote_agents]
    for one in config.http_upstreams:
        urls += [(f"http_upstreams.{one.name}", url) for url in (one.url, *_endpoint_urls(one))]
    for key, url in urls:
        if url and not url.lower().startswith(("https://", "wss://")):
            yield Reason(plain, key, f"{_place(url)} is not encrypted")
    for service in config.http_upstreams:
        yield from _told(f"http_upstreams.{service.name}", service.forward_identity, clear)
    for agent in config.remote_agents:
        if not agent.ssl_verify:
            yield Reason("no_verification", f"remote_agents.{agent.name}.ssl_verify", "is off: anybody could answer")


def _told(key: str, mode: str | None, clear: str) -> Iterator[Reason]:
    if mode == "passthrough":
        yield Reason(clear, f"{key}.forward_identity", "the caller's own token would be handed on")


def _place(url: str) -> str:
    """Of `url` what is no secret."""
    parts = urlsplit(url)
    return f"{parts.scheme or 'no scheme'}://{parts.netloc.rpartition('@')[2]}"


def _endpoint_urls(server: object) -> list[str]:
    return [one.url for one in getattr(server, "endpoints", None) or ()]


def _guards(config: Config) -> Iterator[Reason]:
    if not config.limits.enabled:
        yield Reason("limits_off", "limits.enabled", "nothing would hold back a flood")
    if config.limits.on_store_failure == "open":
        yield Reason("fail_open", "limits.on_store_failure", "limits would end when the store does")
    if config.authorization.default == "allow":
        yield Reason("default_allow", "authorization.default", "what no rule names would be allowed")
    if config.mcp.unknown_methods == "allow":
        yield Reason("unknown_methods", "mcp.unknown_methods", "methods that no revision names would be forwarded")
    if config.mcp.pins.mode in ("off", "first_use"):
        said = "a server could change what its tools say, and nobody would have approved it"
        yield Reason("unpinned_tools", "mcp.pins.mode", said)
    if config.validation.schemas in ("off", "warn"):
        yield Reason("unchecked_arguments", "validation.schemas", "arguments would reach tools that do not take them")
    if config.audit.on_failure == "continue":
        yield Reason("audit_gaps", "audit.on_failure", "calls would go on unrecorded")
    if config.store.url.startswith(("valkey", "redis")) and (why := _why_open(config.store)):
        yield Reason("open_store", "store.url", f"{why}: whoever reaches the store could lift every limit")
    yield from _database(config.database)
    if config.execution is not None and config.execution.dagger.mount_docker_socket:
        yield Reason("docker_socket", "execution.dagger.mount_docker_socket", "gives root on the host to what it runs")


def _why_open(store: StoreConfig) -> str:
    if store.rotating_password_file:
        return ""
    try:
        password = store.password.reveal() if store.password else unquote(urlsplit(store.url).password or "")
    except ValueError:
        return "has no password that can be read"
    if not password:
        return "has no password"
    return f"has a bad password, {why}" if (why := why_guessable(password)) else ""


def _database(database: DatabaseConfig) -> Iterator[Reason]:
    if database.is_sqlite or database.postgres.is_local:
        return
    if database.postgres.sslmode == "disable":
        said = "hashes of keys, and who logged in, would cross the network in clear"
        yield Reason("plain_database", "database.url", said)
    elif database.postgres.sslmode == "require":
        yield Reason("no_verification", "database.url", "has sslmode=require: anybody could answer")


def is_wildcard(host: str) -> bool:
    """Whether binding `host` means every network."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return host in ("", "*")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone. A name other than localhost is taken not to be."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
