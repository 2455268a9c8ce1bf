"""Every table there is, and how it came to be: numbered steps, which only ever are added to.

Each is written for SQLite and PostgreSQL alike: TEXT, BIGINT, DOUBLE PRECISION (times are Unix seconds). A step that is
in a released version is never changed. Two versions of the program may use one database while nodes are exchanged one
by one, so a step adds, and what it makes superfluous is taken away by a later version's.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """From `number - 1` to `number`."""

    number: int
    name: str
    statements: tuple[str, ...]


_FIRST: Final = (
    """CREATE TABLE IF NOT EXISTS api_keys (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL,
        kind TEXT NOT NULL, roles TEXT NOT NULL, scopes TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        expires_at DOUBLE PRECISION, last_used_at DOUBLE PRECISION, revoked_at DOUBLE PRECISION,
        verifier TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE IF NOT EXISTS exposed_names (
        kind TEXT NOT NULL, exposed TEXT NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (kind, exposed))""",
    """CREATE TABLE IF NOT EXISTS kills (
        kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (kind, name))""",
    """CREATE TABLE IF NOT EXISTS logins (
        id TEXT PRIMARY KEY, client_id TEXT NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL, via TEXT NOT NULL,
        granted TEXT NOT NULL, number BIGINT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        used_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
        ended_at DOUBLE PRECISION NOT NULL DEFAULT 0)""",
    "CREATE INDEX IF NOT EXISTS logins_of ON logins (tenant, subject, ended_at)",
    """CREATE TABLE IF NOT EXISTS pins (
        server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
        at_s DOUBLE PRECISION NOT NULL, by TEXT NOT NULL, PRIMARY KEY (server, kind, name))""",
    """CREATE TABLE IF NOT EXISTS quarantine (
        server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
        why TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL, is_rejected BIGINT NOT NULL,
        PRIMARY KEY (server, kind, name))""",
    """CREATE TABLE IF NOT EXISTS revocations (
        number BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, tenant TEXT NOT NULL,
        issuer TEXT NOT NULL, value TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION NOT NULL)""",
)
"""As the tables were before they had numbers: a file of that time has them already, and keeps them."""

_CHANGES: Final = (
    "CREATE TABLE changes (name TEXT PRIMARY KEY, number BIGINT NOT NULL)",
    "INSERT INTO changes (name, number) VALUES ('api_keys', 0), ('kills', 0), ('pins', 0)",
    "INSERT INTO changes (name, number) SELECT 'revocations', COALESCE(MAX(number), 0) FROM revocations",
    "ALTER TABLE api_keys ADD COLUMN changed BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX api_keys_changed ON api_keys (changed)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)

_GRANTS: Final = (
    """CREATE TABLE IF NOT EXISTS grants (
        upstream TEXT NOT NULL, tenant TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL,
        sealed TEXT NOT NULL, key_id TEXT NOT NULL, version BIGINT NOT NULL, server TEXT NOT NULL, scope TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL, written_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (upstream, tenant, issuer, subject))""",
)

_DRAINS: Final = (
    """CREATE TABLE drains (
        server TEXT NOT NULL, endpoint TEXT NOT NULL, until DOUBLE PRECISION NOT NULL, at DOUBLE PRECISION NOT NULL,
        by TEXT NOT NULL, PRIMARY KEY (server, endpoint))""",
    "INSERT INTO changes (name, number) VALUES ('drains', 0)",
)

STEPS: Final = (
    Step(1, "tables", _FIRST),
    Step(2, "changes", _CHANGES),
    Step(3, "grants", _GRANTS),
    Step(4, "drains", _DRAINS),
)
KNOWN: Final = len(STEPS)
