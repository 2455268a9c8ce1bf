"""From `auth.issuers` to the providers; every fault that needs no network is found here, at start."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Fetch
from mantlet.core.secret import Secret
from mantlet.core.tasks import Tasks
from mantlet.policies.authenticate.claims import MAX_LEEWAY_S, Expectation
from mantlet.policies.authenticate.introspection.asking import Client
from mantlet.policies.authenticate.introspection.held import HeldTokens
from mantlet.policies.authenticate.introspection.provider import MAX_CACHE_S, Introspection
from mantlet.policies.authenticate.issuers.config import IssuerConfig
from mantlet.policies.authenticate.issuers.discovery import why_no_issuer, why_no_url
from mantlet.policies.authenticate.issuers.kept import Kept, Tell
from mantlet.policies.authenticate.issuers.mapping import PERSONAL, Meaning, path_of
from mantlet.policies.authenticate.issuers.provider import FRESH_S, Issuer, Issuers
from mantlet.policies.authenticate.issuers.source import Learned, OpenKeys, Source
from mantlet.policies.authenticate.provider import Provider

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
)
"""Those of key pairs. A published key set has no shared secrets, and a foreign issuer shares none (TOK-01)."""
MAX_TOKEN_AGE_S: Final = 3600
MAX_TOKEN_AGE_STAGING_S: Final = 86_400
MAX_KEY_AGE_S: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Ports:
    """What the issuers are opened with. `fetch` gives the way out for one issuer, by its `ca_file`."""

    fetch: Callable[[str | None], Fetch]
    open_keys: OpenKeys
    read_secret: Callable[[str], Secret]
    clock: Clock
    tasks: Tasks
    tell: Tell
    held: HeldTokens


Where = tuple[object, ...]
"""Everything that what is learned of an issuer depends on."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`kept`, by where it is learned, is to be refreshed, each by a task of its own; `providers` are asked in order."""

    providers: Sequence[Provider]
    kept: Mapping[Where, Kept[Learned]]
    required_scopes: Mapping[str, frozenset[str]]


def open_issuers(
    configs: Sequence[IssuerConfig],
    ports: Ports,
    *,
    environment: Literal["development", "staging", "production"],
    audience: str,
    parts: Mapping[str, str],
    taken: Collection[str] = (),
    checks_audience: bool = True,
) -> Opened:
    """The providers of all issuers; raises `ConfigError`.

    `audience` is the node's own resource, `parts` are those inside it with their paths; `taken` are issuers that
    another provider answers for. `checks_audience` is false in development alone.
    """
    issuers: dict[str, Issuer] = {}
    asked: list[tuple[str, Introspection]] = []
    for index, config in enumerate(configs):
        where = f"auth.issuers[{index}]"
        _check(config, where, environment)
        if config.issuer in issuers or config.issuer in taken:
            raise ConfigError(f"{where}.issuer", "is that of another entry", "one entry an issuer")
        if checks_audience and not (config.audience or audience):
            raise ConfigError(f"{where}.audience", "is not set", "set it, or agent.url")
        learned = _learned(config, ports, is_plain_allowed=environment == "development")
        expected, meaning = _expected(config, audience, parts, checks_audience=checks_audience), _meaning(config)
        issuer = Issuer(config.name, expected, meaning, learned)
        if config.introspection.enabled:
            introspection = _introspection(config, where, issuer, ports)
            asked.append((config.introspection.prefix, introspection))
            if config.introspection.tokens == "all":
                fresh_s = min(FRESH_S, config.introspection.cache)
                issuer = replace(issuer, asked=introspection, fresh_s=fresh_s)
        issuers[config.issuer] = issuer
    # The longest beginning first: the one without any takes what is left.
    asked.sort(key=lambda each: -len(each[0]))
    _refuse_ambiguous([prefix for prefix, _ in asked])
    providers: list[Provider] = [Issuers(issuers, ports.clock)] if issuers else []
    return Opened(
        [*providers, *(introspection for _, introspection in asked)],
        {where_of(config): issuers[config.issuer].learned for config in configs},
        {config.issuer: frozenset(config.required_scopes) for config in configs},
    )


def where_of(config: IssuerConfig) -> Where:
    """What `config` says of where and how the issuer is learned."""
    asking = config.introspection
    return (config.issuer, config.jwks_url, config.algorithms, asking.enabled, asking.url, config.ca_file)


def _expected(config: IssuerConfig, audience: str, parts: Mapping[str, str], *, checks_audience: bool) -> Expectation:
    own = config.audience or audience
    return Expectation(
        config.issuer,
        own,
        config.max_token_age,
        config.leeway,
        config.plain_type,
        # Only a token for the node's own resource can be for a part of it.
        parts=parts if own == audience else {},
        needs_not_before=False,
        checks_audience=checks_audience,
        cuts_long=config.longer_tokens == "cut",
    )


def _learned(config: IssuerConfig, ports: Ports, *, is_plain_allowed: bool) -> Kept[Learned]:
    source = Source(
        issuer=config.issuer,
        jwks_url=config.jwks_url or "",
        introspection_url=config.introspection.url or "",
        wants_introspection=config.introspection.enabled,
        algorithms=config.algorithms,
        fetch=ports.fetch(config.ca_file),
        open_keys=ports.open_keys,
        is_plain_allowed=is_plain_allowed,
    )
    return Kept(
        config.name,
        source.learn,
        clock=ports.clock,
        tasks=ports.tasks,
        tell=ports.tell,
        refresh_s=config.key_refresh,
        cooldown_s=config.key_cooldown,
        max_age_s=config.max_key_age,
    )


def _introspection(config: IssuerConfig, where: str, issuer: Issuer, ports: Ports) -> Introspection:
    return Introspection(
        config.name,
        issuer.expected,
        issuer.meaning,
        learned=issuer.learned,
        client=_client(config, where, ports.read_secret),
        fetch=ports.fetch(config.ca_file),
        clock=ports.clock,
        tasks=ports.tasks,
        held=ports.held,
        prefix=config.introspection.prefix.encode(),
        fresh_s=config.introspection.cache,
    )


def _check(config: IssuerConfig, where: str, environment: str) -> None:
    is_plain_allowed = environment == "development"
    if not config.name.strip():
        raise ConfigError(f"{where}.name", "is empty")
    if why := why_no_issuer(config.issuer, is_plain_allowed=is_plain_allowed):
        raise ConfigError(f"{where}.issuer", why, "the https:// URL that the tokens' iss has")
    for key, url in (("jwks_url", config.jwks_url), ("introspection.url", config.introspection.url)):
        if url is not None and (why := why_no_url(url, is_plain_allowed=is_plain_allowed)):
            raise ConfigError(f"{where}.{key}", why)
    if not config.algorithms or not ALGORITHMS.issuperset(config.algorithms):
        raise ConfigError(f"{where}.algorithms", "must be of key pairs", ", ".join(sorted(ALGORITHMS)))
    longest = MAX_TOKEN_AGE_S if environment == "production" else MAX_TOKEN_AGE_STAGING_S
    for key, value, least, most in (
        ("max_token_age", config.max_token_age, 1, longest),
        ("leeway", config.leeway, 0, MAX_LEEWAY_S),
        ("key_refresh", config.key_refresh, 10, 86_400),
        ("key_cooldown", config.key_cooldown, 1, 3600),
        ("max_key_age", config.max_key_age, config.key_refresh, MAX_KEY_AGE_S),
        ("introspection.cache", config.introspection.cache, 0, MAX_CACHE_S),
    ):
        if not least <= value <= most:
            raise ConfigError(f"{where}.{key}", f"must be {least:g} to {most:g} seconds")
    claims = config.claims
    for key, name in (("subject", claims.subject), ("tenant", claims.tenant), ("roles", claims.roles)):
        if name is not None and (not name or path_of(name)[-1] in PERSONAL):
            raise ConfigError(
                f"{where}.claims.{key}", f"{name!r} does not say for certain who somebody is", "sub, oid, groups, say"
            )
    if not config.tenant.strip():
        raise ConfigError(f"{where}.tenant", "is empty")
    if config.role_map and claims.roles is None:
        raise ConfigError(f"{where}.role_map", "maps the words of no claim", "set claims.roles")


def _meaning(config: IssuerConfig) -> Meaning:
    claims = config.claims
    return Meaning(
        subject=path_of(claims.subject),
        roles=path_of(claims.roles) if claims.roles else (),
        tenant=path_of(claims.tenant) if claims.tenant else (),
        scopes=path_of(claims.scopes) if claims.scopes else (),
        scope_prefix=config.scope_prefix,
        fixed_tenant=config.tenant,
        fixed_roles=frozenset(config.roles),
        role_map=config.role_map,
        kind=config.kind,
    )


def _client(config: IssuerConfig, where: str, read_secret: Callable[[str], Secret]) -> Client:
    asking = config.introspection
    if not asking.client_id or (asking.client_secret is None) == (asking.client_secret_file is None):
        raise ConfigError(f"{where}.introspection", "must have client_id, and one of client_secret, client_secret_file")
    secret = asking.client_secret if asking.client_secret is not None else read_secret(asking.client_secret_file or "")
    return Client(asking.client_id, secret)


def _refuse_ambiguous(prefixes: Sequence[str]) -> None:
    """Nobody is shown another issuer's tokens: what begins alike would have to be shown to each."""
    for index, prefix in enumerate(prefixes):
        for other in prefixes[index + 1 :]:
            if other == prefix:
                raise ConfigError(
                    "auth.issuers",
                    "several are asked about opaque tokens, and nothing tells whose one is",
                    "give each introspection.prefix, or ask one of them only",
                )
