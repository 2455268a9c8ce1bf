"""Tokens as an operator takes them back while the node runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.events.audit.administrative import note
from mantlet.node.config.model import Config
from mantlet.node.operators import withdrawal
from mantlet.node.operators.withdrawal import Withdrawn, withdraw

if TYPE_CHECKING:
    from mantlet.admin.tokens import TakenBack
    from mantlet.stores.sql.database import Database


class TokensAdmin:
    """`admin.tokens.Tokens`. Without the record nothing is done (AUD-02)."""

    def __init__(self, config: Config, database: "Database", journal: Journal) -> None:
        self._config, self._database, self._journal = config, database, journal

    async def revoke(self, what: "TakenBack", by: str) -> Mapping[str, Any]:
        """Take it back."""
        asked = Withdrawn(
            token=what.token or "",
            login=what.login or "",
            client=what.client or "",
            key=what.key or "",
            subject=what.subject or "",
            issuer=what.issuer or "",
            tenant=what.tenant,
        )
        value = getattr(asked, asked.kind)
        notes = {"kind": asked.kind, "issuer": asked.issuer}
        await note(self._journal, SYSTEM, "token.revoked", object=value, principal=by, tenant=asked.tenant, notes=notes)
        return {"revoked": {asked.kind: value}, **await withdraw(self._config, self._database, asked)}

    async def logins(self) -> list[Mapping[str, Any]]:
        """The logins that go on."""
        return await withdrawal.logins(self._database)
