"""API keys in the configured database, without a node: what a node running on the same database sees within seconds."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mantlet.core.api_key import ApiKeyRecord, hash_of
from mantlet.core.caller import CallerKind
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.keys.api_keys import make_api_key, read_pepper
from mantlet.node.config import Config
from mantlet.stores.sqlite.api_keys import ApiKeys

KINDS: tuple[CallerKind, ...] = ("user", "agent", "service")


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is asked for. `life_s` is None for a key that does not expire."""

    name: str
    owner: str = ""
    tenant: str = "default"
    kind: str = "service"
    roles: Sequence[str] = ()
    scopes: Sequence[str] = ()
    life_s: float | None = None


def create(config: Config, wanted: NewKey) -> tuple[ApiKeyRecord, Secret]:
    """Make a key; the key itself is given this once. Raises `ConfigError`."""
    kind = next((kind for kind in KINDS if kind == wanted.kind), None)
    if kind is None:
        raise ConfigError("--kind", f"{wanted.kind!r} is unknown", ", ".join(KINDS))
    if not wanted.name.strip():
        raise ConfigError("NAME", "is empty")
    now_s = time.time()
    key_id, key = make_api_key()
    record = ApiKeyRecord(
        id=key_id,
        hash=hash_of(key.reveal().encode(), read_pepper(config.database.pepper_path)),
        owner=wanted.owner or wanted.name,
        name=wanted.name,
        tenant=wanted.tenant,
        kind=kind,
        roles=frozenset(wanted.roles),
        scopes=frozenset(wanted.scopes),
        created_at_s=now_s,
        expires_at_s=None if wanted.life_s is None else now_s + wanted.life_s,
    )
    with _opened(config) as keys:
        keys.create(record)
    return record, key


def listed(config: Config) -> list[ApiKeyRecord]:
    """All keys, revoked ones too, oldest first. Raises `ConfigError`."""
    with _opened(config) as keys:
        return keys.list()


def revoke(config: Config, key_id: str) -> None:
    """End a key for ever; running nodes notice within seconds. Raises `ConfigError` when there is no such key."""
    key_id = key_id.removeprefix("mk_").partition("_")[0]
    with _opened(config) as keys:
        if not keys.revoke(key_id, time.time()):
            raise ConfigError(key_id, "is no key's id", "`mantlet keys list` shows them")


def described(record: ApiKeyRecord) -> dict[str, Any]:
    """A record for people and machines; neither the key nor its hash."""
    now_s = time.time()
    state = "revoked" if record.revoked_at_s else "live" if record.is_live(now_s) else "expired"
    return {
        "id": record.id,
        "name": record.name,
        "owner": record.owner,
        "tenant": record.tenant,
        "kind": record.kind,
        "roles": sorted(record.roles),
        "scopes": sorted(record.scopes),
        "state": state,
        "created": _instant(record.created_at_s),
        "expires": _instant(record.expires_at_s),
        "last_used": _instant(record.last_used_at_s),
    }


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _opened(config: Config) -> Iterator[ApiKeys]:
    try:
        with closing(ApiKeys(config.database.path, time.monotonic)) as keys:
            yield keys
    except StoreUnavailable as error:
        raise ConfigError(f"database.url ({config.database.path})", error.why) from error
