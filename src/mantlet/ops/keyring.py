"""API keys in the configured database, without a node: what a node running on the same database sees within seconds.

Making and ending a key is recorded in the audit trail first; what cannot be recorded is not done (AUD-02).
"""

import time
from typing import Any

from mantlet.core.api_key import ApiKeyRecord
from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.keys import new_key
from mantlet.keys.api_keys import read_pepper
from mantlet.keys.new_key import NewKey
from mantlet.node.config import Config
from mantlet.node.operators.withdrawal import Withdrawn, withdraw
from mantlet.ops.database import with_database
from mantlet.ops.recorded import recorded
from mantlet.stores.sql.api_keys import ApiKeys
from mantlet.stores.sql.changes import Changes
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.opening import open_bare


def create(config: Config, wanted: NewKey) -> tuple[ApiKeyRecord, Secret]:
    """Make a key; the key itself is given this once. Raises `ConfigError`, also when it cannot be recorded."""
    made, key = new_key.make(wanted, now_s=time.time(), pepper=read_pepper(config.database.pepper_path))

    async def work(database: Database) -> None:
        await _record(config, "key.created", made)
        await _keys(database).create(made)

    with_database(config, work)
    return made, key


def namesakes(config: Config, wanted: NewKey) -> list[str]:
    """What already stands for the principal of `wanted`: a second key of one owner may be meant, or a slip."""
    owner = wanted.owner or wanted.name
    found = [
        f"the bootstrap key auth.api_keys[{index}]"
        for index, key in enumerate(config.auth.api_keys)
        if (key.tenant, key.name) == (wanted.tenant, owner)
    ]
    now_s = time.time()
    records = with_database(config, lambda database: _keys(database).list(wanted.tenant))
    return found + [f"the key {record.id}" for record in records if record.owner == owner and record.is_live(now_s)]


def listed(config: Config) -> list[ApiKeyRecord]:
    """All keys, revoked ones too, oldest first. Raises `ConfigError`."""
    return with_database(config, lambda database: _keys(database).list())


def standing(config: Config) -> list[ApiKeyRecord]:
    """All keys, without a change to the database or the making of one. Raises `ConfigError`."""
    if config.database.is_sqlite and not config.database.path.exists():
        return []
    return with_database(config, lambda database: _keys(database).list(), open_bare)


def revoke(config: Config, key_id: str) -> str:
    """End a key for ever and give its id; running nodes notice within seconds.

    Takes the key itself too, for whoever has only that. Raises `ConfigError` when there is no such key.
    """
    key_id = key_id.removeprefix("mk_").partition("_")[0]

    async def work(database: Database) -> None:
        keys = _keys(database)
        found = next((known for known in await keys.list() if known.id == key_id), None)
        if found is None:
            raise ConfigError(key_id, "is no key's id", "`mantlet keys list` shows them")
        await _record(config, "key.revoked", found)
        await keys.revoke(key_id, time.time())
        await withdraw(config, database, Withdrawn(key=key_id))  # and the tokens that it was changed into

    with_database(config, work)
    return key_id


def rotate(config: Config, key_id: str, overlap_s: float) -> tuple[ApiKeyRecord, Secret]:
    """The next key of the same owner with the same rights; the old one ends after `overlap_s`. Raises `ConfigError`."""

    async def work(database: Database) -> tuple[ApiKeyRecord, Secret]:
        keys = _keys(database)
        old = next((known for known in await keys.list() if known.id == key_id and known.is_live(time.time())), None)
        if old is None:
            raise ConfigError(key_id, "is no live key's id", "`mantlet keys list` shows them")
        life_s = None if old.expires_at_s is None else max(overlap_s, old.expires_at_s - old.created_at_s)
        wanted = NewKey(old.name, old.owner, old.tenant, old.kind, sorted(old.roles), sorted(old.scopes), life_s)
        made, key = new_key.make(wanted, now_s=time.time(), pepper=read_pepper(config.database.pepper_path))
        await _record(config, "key.created", made)
        await keys.create(made)
        notes = {"next": made.id, "overlap": f"{overlap_s:g}"}
        await recorded(config, "key.rotated", old.id, tenant=old.tenant, notes=notes)
        await keys.expire(old.id, time.time() + overlap_s)
        return made, key

    return with_database(config, work)


def described(record: ApiKeyRecord) -> dict[str, Any]:
    """A record for people and machines; neither the key nor its hash."""
    return new_key.described(record, time.time())


async def _record(config: Config, event: str, key: ApiKeyRecord) -> None:
    notes = {"name": key.name, "owner": key.owner, "roles": " ".join(sorted(key.roles))}
    await recorded(config, event, key.id, tenant=key.tenant, notes=notes)


def _keys(database: Database) -> ApiKeys:
    return ApiKeys(database, Changes(database, time.monotonic))
