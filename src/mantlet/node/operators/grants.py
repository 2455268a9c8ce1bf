"""Grants as an operator sees them and takes them back: in the database, which every process follows.

Works with a running node and without one. The upstream's authorization server is told as a courtesy; what it makes of
that is its own affair, and no condition.
"""

from collections.abc import Mapping
from typing import Any

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.events.audit.administrative import note
from mantlet.keys.new_key import instant
from mantlet.keys.seal import open_sealer
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.oauth_client.grants import key_file, users_of
from mantlet.node.oauth_client.registrations import registered
from mantlet.node.resources import public_url
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.grants import GrantRows
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.egress import Guard
from mantlet.upstreams.identity.user.kept import GrantKey, Row, unseal
from mantlet.upstreams.oauth import AuthorizationServer

REVOKED = "grant.revoked"


class GrantsAdmin:
    """`admin.grants.Grants`. Without the record nothing is done (AUD-02)."""

    def __init__(self, config: Config, database: Database, journal: Journal, guard: Guard) -> None:
        self._config, self._rows, self._journal, self._guard = config, GrantRows(database), journal, guard

    async def all(self) -> list[Mapping[str, Any]]:
        """Every grant; no token of theirs."""
        return [
            {
                "upstream": upstream,
                "tenant": tenant,
                "issuer": issuer,
                "subject": subject,
                "server": server,
                "scope": scope,
                "created": instant(created_s),
                "refreshed": instant(written_s),
                "key": key_id,
            }
            for upstream, tenant, issuer, subject, key_id, server, scope, created_s, written_s in await self._rows.all()
        ]

    async def revoke(self, upstream: str, subject: str, issuer: str | None, tenant: str, by: str) -> Mapping[str, Any]:
        """Take back those of a principal (of every issuer, where none is named) at an upstream, or at all ("")."""
        found = [
            GrantKey(*row[:4])
            for row in await self._rows.all()
            if row[1] == tenant
            and row[3] == subject
            and (not upstream or row[0] == upstream)
            and (issuer is None or row[2] == issuer)
        ]
        told = 0
        for key in found:
            notes = {"of": "/".join(key[1:])}
            await note(
                self._journal, SYSTEM, REVOKED, object=key.upstream, principal=by, tenant=key.tenant, notes=notes
            )
            row = await self._rows.find(key)
            await self._rows.drop(key)
            told += row is not None and await self._told(key, Row(*row))
        return {"revoked": len(found), "told": told}

    async def _told(self, key: GrantKey, row: Row) -> bool:
        given = users_of(self._config).get(key.upstream)
        if given is None or given.issuer != row.server:
            return False
        kept = unseal(row.sealed, key, row.server, open_sealer(key_file(self._config)))
        if kept is None:
            return False
        fetch = open_fetcher(self._config, self._guard, TlsConfig(ca_file=given.ca_file))
        try:
            server = AuthorizationServer(registered(key.upstream, given, public_url(self._config)), fetch, SYSTEM)
            return await server.revoke(kept.refresh_token or kept.access_token)
        finally:
            await fetch.close()
