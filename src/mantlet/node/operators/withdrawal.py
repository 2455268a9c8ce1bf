"""Taking back what was given: tokens, logins and keys, in the database alone.

Every process that shares it reads it within a second, and tells other nodes; so this works with a running node and
without one, from the admin API and from the command line alike (TOK-10).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mantlet.core.clock import SYSTEM
from mantlet.core.revocation import LIFE_S, Revocation
from mantlet.keys.new_key import instant
from mantlet.node.config.model import Config
from mantlet.node.resources import public_url
from mantlet.policies.authenticate.opening import own_issuer
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.logins import LoginRows
from mantlet.stores.sql.revocations import RevocationRows


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What is taken back, by one of these. `issuer` is of `token` and `subject`; empty means the node's own."""

    token: str = ""
    """A token's `jti`."""
    login: str = ""
    client: str = ""
    """All logins of an OAuth client, or what came from an API key (its id)."""
    key: str = ""
    """What came from an API key; the key itself is revoked elsewhere."""
    subject: str = ""
    """Every token that a principal has until now, and its logins."""
    issuer: str = ""
    tenant: str = "default"

    @property
    def kind(self) -> str:
        """The one word that is set, for the record."""
        return next((name for name in ("token", "login", "client", "key", "subject") if getattr(self, name)), "")


async def withdraw(config: Config, database: Database, what: Withdrawn) -> Mapping[str, int]:
    """Take it back; gives how many logins ended. Durable on return; raises `StoreUnavailable`."""
    own = own_issuer(config.auth.jwt, public_url(config))
    issuer = what.issuer or own
    now_s = SYSTEM.wall()
    logins = LoginRows(database)
    ended: list[str] = []
    if what.login:
        ended += await _end(logins, now_s, login_id=what.login)
    if what.client:
        ended += await _end(logins, now_s, client_id=what.client)
    if what.key:
        ended += await _end(logins, now_s, via=what.key)
    if what.subject:
        ended += await _end(logins, now_s, tenant=what.tenant, subject=what.subject)
    found = [_made("token", "", own, one, now_s) for one in (*ended, what.login, what.client, what.key) if one]
    if what.token:
        found.append(_made("token", "", issuer, what.token, now_s))
    if what.subject:
        found.append(_made("subject", what.tenant, issuer, what.subject, now_s))
    await RevocationRows(database).add(found, now_s)
    return {"logins": len(ended)}


async def logins(database: Database) -> list[Mapping[str, Any]]:
    """The logins that go on, the newest first; no token of theirs."""
    return [
        {
            "id": row.id,
            "client": row.client_id,
            "tenant": row.tenant,
            "subject": row.subject,
            "refreshes": row.number - 1,
            "created": instant(row.created_at_s),
            "used": instant(row.used_at_s),
            "expires": instant(row.expires_at_s),
        }
        for row in await LoginRows(database).all()
    ]


async def _end(
    rows: LoginRows,
    now_s: float,
    *,
    login_id: str = "",
    via: str = "",
    client_id: str = "",
    tenant: str = "",
    subject: str = "",
) -> Sequence[str]:
    return await rows.end(now_s=now_s, login_id=login_id, via=via, client_id=client_id, tenant=tenant, subject=subject)


def _made(kind: str, tenant: str, issuer: str, value: str, now_s: float) -> Revocation:
    return Revocation(secrets.token_hex(8), kind, tenant, issuer, value, now_s, now_s + LIFE_S)  # type: ignore[arg-type]
