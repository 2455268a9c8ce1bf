"""From a caller to the claims of a token about it. Pure (OAUTH-07)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mantlet.core.caller import Caller
from mantlet.core.refusal import Denied, InvalidCredential
from mantlet.wire.forwarded import SUBJECT_ID, TOKEN_HASH, unique_subject


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be said to one upstream. `issuer` is this node's own, `actor` how it calls itself there."""

    issuer: str
    actor: str
    audience: str
    environment: str
    life_s: int
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    subject: Literal["unique", "plain"] = "unique"
    max_actors: int = 4


def claims_of(caller: Caller, terms: Terms, *, now_s: float, jti: str, token_hash: str) -> dict[str, Any]:
    """The claims of a new token: never more than the caller may, never longer than its credential, for one audience.

    Raises `Denied` for a chain of delegation that would be too long, `InvalidCredential` for a caller whose credential
    is over.
    """
    if len(caller.act) + 1 > terms.max_actors:
        raise Denied("Too many act for one another already.", why="identity: the chain of actors is too long")
    now = int(now_s)
    expires = now + terms.life_s
    if caller.expires_at_s is not None:
        expires = min(expires, int(caller.expires_at_s))
        if expires <= now:
            raise InvalidCredential("identity: the caller's credential is over")
    claims: dict[str, Any] = {
        "iss": terms.issuer,
        "aud": terms.audience,
        "sub": unique_subject(caller) if terms.subject == "unique" else caller.subject,
        SUBJECT_ID: {"format": "iss_sub", "iss": caller.issuer, "sub": caller.subject},
        "client_id": terms.actor,
        "tenant": caller.tenant,
        "kind": caller.kind,
        "act": _chain((terms.actor, *caller.act)),
        "iat": now,
        "nbf": now,
        "exp": expires,
        "jti": jti,
        "env": terms.environment,
    }
    if scopes := caller.scopes & terms.scopes:
        claims["scope"] = " ".join(sorted(scopes))
    if roles := caller.roles & terms.roles:
        claims["roles"] = sorted(roles)
    if token_hash:
        claims[TOKEN_HASH] = token_hash
    return claims


def _chain(actors: tuple[str, ...]) -> Mapping[str, Any]:
    """RFC 8693 section 4.1: who acts now stands outermost."""
    chain: dict[str, Any] = {"sub": actors[-1]}
    for actor in reversed(actors[:-1]):
        chain = {"sub": actor, "act": chain}
    return chain
