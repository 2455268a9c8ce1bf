"""Tokens of the node's own issuer, made and looked at by hand."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import Refusal
from mantlet.keys.ring import open_ring
from mantlet.keys.signing import KeyPair, signing_key
from mantlet.keys.tokens import Issued, issue
from mantlet.node.config import Config
from mantlet.node.operators import withdrawal
from mantlet.node.operators.withdrawal import Withdrawn, withdraw
from mantlet.ops.database import with_database
from mantlet.ops.recorded import record
from mantlet.wire.jws import parse


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token shall say. Empty issuer and audience mean the configuration's."""

    subject: str
    roles: Sequence[str] = ()
    scopes: Sequence[str] = ()
    tenant: str = "default"
    life_s: int = 3600
    issuer: str = ""
    audience: str = ""


def issued(config: Config, wanted: Wanted) -> Issued:
    """Sign a token with the key that `auth.jwt` names. Raises `ConfigError`."""
    jwt, url = config.auth.jwt, (config.agent.url or "").rstrip("/")
    issuer = wanted.issuer or jwt.issuer or url
    audience = wanted.audience or jwt.audience or (url and f"{url}/mcp")
    if not issuer or not audience:
        missing = "audience" if issuer else "issuer"
        raise ConfigError(f"auth.jwt.{missing}", "is not set", f"set it or agent.url, or give --{missing}")
    try:
        return issue(
            _signing_key(config),
            issuer=issuer,
            audience=audience,
            subject=wanted.subject,
            now_s=time.time(),
            life_s=wanted.life_s,
            tenant=wanted.tenant,
            roles=wanted.roles,
            scopes=wanted.scopes,
            environment=config.environment,
        )
    except ValueError as error:
        raise ConfigError("auth.jwt", str(error)) from error


def _signing_key(config: Config) -> KeyPair:
    jwt = config.auth.jwt
    key = signing_key(jwt.secret, jwt.key_file, jwt.algorithms)
    if key is not None:
        return key
    raise ConfigError(
        "auth.jwt", "has no key to sign with", "`mantlet tokens keygen FILE`, then auth.jwt.key_file: FILE"
    )


def revoked(config: Config, what: Withdrawn) -> Mapping[str, int]:
    """Take it back, in running nodes within seconds; gives how many logins ended. Raises `ConfigError`."""
    value = getattr(what, what.kind) if what.kind else ""
    if not value:
        raise ConfigError("tokens revoke", "nothing is named", "--id, --login, --client, --key or --subject")
    record(config, "token.revoked", value, tenant=what.tenant, notes={"kind": what.kind, "issuer": what.issuer})
    return with_database(config, lambda database: withdraw(config, database, what))


def logins(config: Config) -> list[Mapping[str, Any]]:
    """The logins that go on. Raises `ConfigError`."""
    return with_database(config, withdrawal.logins)


def inspected(token: str, config: Config | None) -> dict[str, Any]:
    """What a token says, and whether the configuration's key has signed it. Never the signature itself.

    Time and audience are only told, not judged: whoever inspects a token wants to see why it is refused.
    """
    try:
        jws = parse(token.strip().encode())
    except Refusal as error:
        raise ConfigError("token", error.why) from error
    header = {"alg": jws.algorithm, "kid": jws.kid, "typ": jws.type}
    told: dict[str, Any] = {"header": header, "claims": dict(jws.claims), "signature": "not checked"}
    expires = jws.claims.get("exp")
    if isinstance(expires, int | float):
        told["expires_in_s"] = int(expires - time.time())
    if config is not None and config.auth.jwt.has_key:
        jwt = config.auth.jwt
        ring = open_ring(algorithms=jwt.algorithms, secret=jwt.secret, key_file=jwt.key_file, jwks_file=jwt.jwks_file)
        try:
            if ring is not None:
                ring.check(jws)
                told["signature"] = "valid"
        except Refusal as error:
            told["signature"] = f"refused: {error.why}"
    return told
