"""From `auth:` to the policy; every fault of the section is found here, at start (TOK-12, CFG-04)."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from mantlet.core.api_key import ApiKeyRecord, ApiKeyStore, hash_of, id_of
from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.key_proof import verifier_of
from mantlet.core.secret import Secret
from mantlet.core.weak_secret import why_weak
from mantlet.policies.authenticate.api_keys import ApiKeyProvider
from mantlet.policies.authenticate.binding import Proofs
from mantlet.policies.authenticate.claims import MAX_LEEWAY_S, Expectation
from mantlet.policies.authenticate.config import ApiKeyConfig, AuthConfig, JwtConfig
from mantlet.policies.authenticate.failures import Failures
from mantlet.policies.authenticate.jwt import JwtProvider, SignatureCheck
from mantlet.policies.authenticate.mock import MockProvider
from mantlet.policies.authenticate.mtls.opening import open_mtls
from mantlet.policies.authenticate.mtls.revocations import Tell
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authenticate.provider import Provider
from mantlet.policies.authenticate.revoked import Revoked

MAX_TOKEN_AGE_S: Final = 3600
"""Outside development (TOK-04); there a day."""
Environment = Literal["development", "staging", "production"]
MIN_PEPPER_BYTES: Final = 32
ANY_ISSUER: Final = "mantlet:any-issuer"
"""Whose callers are when tokens of any issuer are taken, and the node's own has no name."""
_KEY: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def open_authenticate(
    config: AuthConfig,
    *,
    environment: Environment,
    clock: Clock,
    pepper: bytes,
    read_secret: Callable[[str], Secret],
    keys: SignatureCheck | None = None,
    store: ApiKeyStore | None = None,
    public_url: str = "",
    published: Sequence[str] = (),
    names_metadata: bool = True,
    before: Sequence[Provider] = (),
    more: Sequence[Provider] = (),
    proofs: Proofs | None = None,
    required_scopes: Mapping[str, frozenset[str]] | None = None,
    revoked: Revoked | None = None,
    tell: Tell = lambda level, event, fields: None,
) -> Authenticate | Disabled:
    """The policy that `config` describes; raises `ConfigError`.

    `keys` are those of `config.jwt` (`keys.ring.open_ring`), `pepper` the node's (`keys.api_keys.read_pepper`),
    `published` are the paths whose metadata the node serves (RFC 9728), the most general first; challenges name it
    unless `names_metadata` is false, `read_secret` reads an owner-only file, `before` and `more` are providers asked
    before and after ours, `proofs` are checks of DPoP, `required_scopes` are what every token of an issuer must have,
    `revoked` knows which no longer count; `tell` takes what people should know (level, event, fields).
    That all may call is never decided by an absence: it takes `enabled: false` and `environment="development"`.
    """
    if not config.enabled:
        if environment != "development":
            raise ConfigError("auth.enabled", "authentication can be off in development only", "remove enabled: false")
        return Disabled()
    _check(config, environment, pepper)
    records = [_record_of(key, index, pepper, read_secret) for index, key in enumerate(config.api_keys)]
    _refuse_twins(records)
    api_keys = ApiKeyProvider(records, store, pepper, clock)
    providers: list[Provider] = [*before, api_keys]
    if config.mock.tokens:
        providers.append(MockProvider(config.mock.tokens, development=environment == "development"))
    own = (
        [_jwt(config, keys, public_url, parts_of(public_url, published), clock, environment, api_keys)]
        if config.jwt.has_key
        else []
    )
    # Where it takes tokens of any issuer, it is asked last: what another issuer is configured for is decided there.
    providers += [*more, *own] if config.validate.issuer is False else [*own, *more]
    failures = config.failures
    return Authenticate(
        providers,
        clock=clock,
        public_url=public_url,
        published=published if names_metadata else (),
        by_address=Failures(failures.per_address, failures.window),
        by_credential=Failures(failures.per_credential, failures.window),
        mtls=open_mtls(config.mtls, clock, tell),
        proofs=proofs,
        required_scopes=required_scopes,
        revoked=revoked,
        prove=api_keys.prove,
        recall=api_keys.recall,
    )


def _check(config: AuthConfig, environment: Environment, pepper: bytes) -> None:
    for name in ("issuer", "audience"):
        if getattr(config.validate, name) is False and environment != "development":
            raise ConfigError(f"auth.validate.{name}", "can be off in development only", "take it out")
    if len(pepper) < MIN_PEPPER_BYTES:
        raise ConfigError("pepper", f"has fewer than {MIN_PEPPER_BYTES} bytes", "remove the file to have one made")
    failures = config.failures
    if min(failures.per_address, failures.per_credential, failures.window) < 1:
        raise ConfigError("auth.failures", "per_address, per_credential and window must be at least 1")


def own_issuer(config: JwtConfig, public_url: str) -> str:
    """The issuer of the node's own tokens: as configured, else its public URL."""
    return config.issuer or public_url.rstrip("/")


def own_audience(public_url: str, published: Sequence[str]) -> str:
    """The node's resource as a whole, the most general of those that it publishes."""
    return f"{public_url.rstrip('/')}{published[0]}" if public_url and published else ""


def parts_of(public_url: str, published: Sequence[str]) -> Mapping[str, str]:
    """The resources inside that one, each with its path."""
    return {f"{public_url.rstrip('/')}{path}": path for path in published[1:]}


def _jwt(
    auth: AuthConfig,
    keys: SignatureCheck | None,
    public_url: str,
    parts: Mapping[str, str],
    clock: Clock,
    environment: Environment,
    api_keys: ApiKeyProvider,
) -> JwtProvider:
    if keys is None:
        raise ConfigError("auth.jwt", "names a key, and none was opened")
    config, validate = auth.jwt, auth.validate
    root = public_url.rstrip("/")
    whole = root and f"{root}/mcp"
    issuer, audience = own_issuer(config, public_url), config.audience or whole
    if validate.issuer is False:
        issuer = issuer or ANY_ISSUER
    if not issuer:
        raise ConfigError("auth.jwt.issuer", "is not set", "set it, or agent.url")
    if not audience and validate.audience is not False:
        raise ConfigError("auth.jwt.audience", "is not set", "set it, or agent.url")
    if not 0 <= config.leeway <= MAX_LEEWAY_S:
        raise ConfigError("auth.jwt.leeway", f"must be 0 to {MAX_LEEWAY_S} seconds")
    longest = 86_400 if environment == "development" else MAX_TOKEN_AGE_S
    if not 0 < config.max_token_age <= longest:
        raise ConfigError("auth.jwt.max_token_age", f"must be 1 to {longest} seconds")
    expected = Expectation(
        issuer,
        audience,
        config.max_token_age,
        config.leeway,
        config.plain_type,
        environment,
        parts if audience == whole else {},
        checks_issuer=validate.issuer is not False,
        checks_audience=validate.audience is not False,
    )
    return JwtProvider(keys, expected, clock, key_gives=api_keys.gives, key_recall=api_keys.recall_key)


def _record_of(config: ApiKeyConfig, index: int, pepper: bytes, read_secret: Callable[[str], Secret]) -> ApiKeyRecord:
    where = f"auth.api_keys[{index}]"
    if (config.key is None) == (config.key_file is None):
        raise ConfigError(where, "must have either key or key_file")
    if not config.name.strip():
        raise ConfigError(f"{where}.name", "is empty")
    key = (config.key if config.key is not None else read_secret(config.key_file or "")).reveal()
    if why := why_weak(key):
        raise ConfigError(where, f"the key is weak: {why}", "`mantlet keys` makes good ones")
    if _KEY.fullmatch(key) is None:
        raise ConfigError(where, "the key has characters that no header can carry", "letters, digits and ._~+/-=")
    key_id = id_of(key.encode()) or f"config:{config.name}"
    return ApiKeyRecord(
        id=key_id,
        hash=hash_of(key.encode(), pepper),
        owner=config.name,
        name=config.name,
        tenant=config.tenant,
        kind=config.kind,
        roles=frozenset(config.roles),
        scopes=frozenset(config.scopes),
        expires_at_s=_instant(config.expires, f"{where}.expires"),
        doors=config.doors,
        verifier=verifier_of(key.encode(), key_id, pepper),
    )


def _instant(text: str | None, where: str) -> float | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(where, "is no instant", "2027-01-31T00:00:00Z") from error
    if at.tzinfo is None:
        raise ConfigError(where, "has no time zone", "2027-01-31T00:00:00Z")
    return at.timestamp()


def _refuse_twins(records: Sequence[ApiKeyRecord]) -> None:
    if len({record.hash for record in records}) != len(records):
        raise ConfigError("auth.api_keys", "two entries have the same key", "give each its own")
    if len({record.id for record in records}) != len(records):
        raise ConfigError("auth.api_keys", "two entries have the same name", "give each its own")
