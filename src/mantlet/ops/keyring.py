"""API keys in the configured database, without a node: what a node running on the same database sees within seconds.

Making and ending a key is recorded in the audit trail first; what cannot be recorded is not done (AUD-02).
"""

import asyncio
import getpass
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mantlet.core.api_key import ApiKeyRecord, hash_of
from mantlet.core.caller import CallerKind
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import AuditUnavailable, StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.events.audit.administrative import note
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import open_journal
from mantlet.keys.api_keys import make_api_key, read_pepper
from mantlet.node.config import Config
from mantlet.stores.sqlite.api_keys import ApiKeys

KINDS: tuple[CallerKind, ...] = ("user", "agent", "service")
MAX_CHARACTERS: Final = 200
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, section 3.3; roles have no grammar of their own."""


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
    """Make a key; the key itself is given this once. Raises `ConfigError`, also when it cannot be recorded."""
    kind = next((kind for kind in KINDS if kind == wanted.kind), None)
    if kind is None:
        raise ConfigError("--kind", f"{wanted.kind!r} is unknown", ", ".join(KINDS))
    _refuse_odd(wanted)
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
        _record(config, "key.created", record)
        keys.create(record)
    return record, key


def namesakes(config: Config, wanted: NewKey) -> list[str]:
    """What already stands for the principal of `wanted`: a second key of one owner may be meant, or a slip."""
    owner = wanted.owner or wanted.name
    found = [
        f"the bootstrap key auth.api_keys[{index}]"
        for index, key in enumerate(config.auth.api_keys)
        if (key.tenant, key.name) == (wanted.tenant, owner)
    ]
    now_s = time.time()
    with _opened(config) as keys:
        same = [record for record in keys.list(wanted.tenant) if record.owner == owner and record.is_live(now_s)]
    return found + [f"the key {record.id}" for record in same]


def listed(config: Config) -> list[ApiKeyRecord]:
    """All keys, revoked ones too, oldest first. Raises `ConfigError`."""
    with _opened(config) as keys:
        return keys.list()


def revoke(config: Config, key_id: str) -> str:
    """End a key for ever and give its id; running nodes notice within seconds.

    Takes the key itself too, for whoever has only that. Raises `ConfigError` when there is no such key.
    """
    key_id = key_id.removeprefix("mk_").partition("_")[0]
    with _opened(config) as keys:
        record = next((record for record in keys.list() if record.id == key_id), None)
        if record is None:
            raise ConfigError(key_id, "is no key's id", "`mantlet keys list` shows them")
        _record(config, "key.revoked", record)
        keys.revoke(key_id, time.time())
    return key_id


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


def _refuse_odd(wanted: NewKey) -> None:
    """Raise `ConfigError` for what could not be told apart in a record: principals are shown as tenant/issuer/owner."""
    for where, text in [("NAME", wanted.name), ("--owner", wanted.owner or wanted.name)]:
        if not text.strip():
            raise ConfigError(where, "is empty")
        if text != text.strip() or not text.isprintable() or "/" in text or len(text) > MAX_CHARACTERS:
            allowed = f"printable characters without /, no space at the ends, at most {MAX_CHARACTERS}"
            raise ConfigError(where, f"{text!r} is no name", allowed)
    if _TENANT.fullmatch(wanted.tenant) is None or len(wanted.tenant) > MAX_CHARACTERS:
        raise ConfigError("--tenant", f"{wanted.tenant!r} is no tenant", "letters, digits and ._-")
    for where, texts in [("--role", wanted.roles), ("--scope", wanted.scopes)]:
        for text in texts:
            if _SCOPE.fullmatch(text) is None or len(text) > MAX_CHARACTERS:
                allowed = "visible ASCII without space, quote and backslash"
                raise ConfigError(where, f"{text!r} is no {where[2:]}", allowed)


def _record(config: Config, event: str, key: ApiKeyRecord) -> None:
    """Into the trail of the node, which may be running: the trail takes turns among processes."""
    notes = {"name": key.name, "owner": key.owner, "roles": " ".join(sorted(key.roles))}

    async def write() -> None:
        audit = config.audit
        async with open_journal(
            audit, load_or_create(audit), clock=SYSTEM, environment=config.environment, report=lambda *_: None
        ) as journal:
            await note(journal, SYSTEM, event, object=key.id, principal=_operator(), tenant=key.tenant, notes=notes)

    try:
        asyncio.run(write())
    except (AuditUnavailable, OSError, ValueError) as error:
        why = error.why if isinstance(error, AuditUnavailable) else str(error)
        raise ConfigError(f"audit.path ({config.audit.path})", f"the change cannot be recorded: {why}") from error


def _operator() -> str:
    """Who is at the keyboard, as the system knows them."""
    try:
        return f"local/os-user/{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user often has no name
        return f"local/os-user/{os.getuid()}"


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _opened(config: Config) -> Iterator[ApiKeys]:
    try:
        with closing(ApiKeys(config.database.path, time.monotonic)) as keys:
            yield keys
    except StoreUnavailable as error:
        raise ConfigError(f"database.url ({config.database.path})", error.why) from error
