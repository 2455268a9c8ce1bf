"""API keys as an operator makes and ends them while the node runs."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams
from mantlet.events.audit.administrative import note
from mantlet.keys import new_key
from mantlet.keys.api_keys import read_pepper
from mantlet.node.config.model import Config
from mantlet.node.operators.withdrawal import Withdrawn, withdraw
from mantlet.node.storage.durable import Durable

if TYPE_CHECKING:
    from mantlet.admin.keys import Wanted


class KeysAdmin:
    """`admin.keys.Keys`. Without the record nothing is done (AUD-02).

    Works on the database alone, as `mantlet keys` does: every process that shares it takes up what changed with its
    next look, a second later.
    """

    def __init__(self, config: Config, durable: Durable, journal: Journal) -> None:
        self._config, self._durable, self._journal = config, durable, journal

    async def all(self) -> list[Mapping[str, Any]]:
        """Every key."""
        return [new_key.described(record, SYSTEM.wall()) for record in await self._durable.api_keys.list()]

    async def create(self, wanted: "Wanted", by: str) -> Mapping[str, Any]:
        """Make one."""
        asked = new_key.NewKey(
            wanted.name, wanted.owner, wanted.tenant, wanted.kind, wanted.roles, wanted.scopes, wanted.expires_in
        )
        pepper = await asyncio.to_thread(read_pepper, self._config.database.pepper_path)
        try:
            record, key = new_key.make(asked, now_s=SYSTEM.wall(), pepper=pepper)
        except ConfigError as error:
            raise InvalidParams(_told(error)) from error
        notes = {"name": record.name, "owner": record.owner, "roles": " ".join(sorted(record.roles))}
        await note(
            self._journal, SYSTEM, "key.created", object=record.id, principal=by, tenant=record.tenant, notes=notes
        )
        await self._durable.api_keys.create(record)
        return {**new_key.described(record, SYSTEM.wall()), "key": key.reveal()}

    async def revoke(self, key_id: str, by: str) -> Mapping[str, Any] | None:
        """End one."""
        found = next((key for key in await self.all() if key["id"] == key_id), None)
        if found is None:
            return None
        notes = {"name": found["name"], "owner": found["owner"], "roles": " ".join(found["roles"])}
        await note(
            self._journal, SYSTEM, "key.revoked", object=key_id, principal=by, tenant=found["tenant"], notes=notes
        )
        await self._durable.api_keys.revoke(key_id, SYSTEM.wall())
        await withdraw(self._config, self._durable.database, Withdrawn(key=key_id))  # and what it was changed into
        return {**found, "state": "revoked"}


def _told(error: ConfigError) -> str:
    """What is wrong, in the words of the API: the command line's names of things are options."""
    return str(error).replace("--", "").replace("NAME", "name")
