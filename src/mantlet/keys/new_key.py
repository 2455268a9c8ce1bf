"""From what is asked for to the record of an API key, and from a record to what may be shown of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, get_args

from mantlet.core.api_key import ApiKeyRecord, hash_of
from mantlet.core.caller import CallerKind
from mantlet.core.config_error import ConfigError
from mantlet.core.key_proof import verifier_of
from mantlet.core.secret import Secret
from mantlet.keys.api_keys import make_api_key

KINDS: Final[tuple[CallerKind, ...]] = get_args(CallerKind)
MAX_CHARACTERS: Final = 200
MAX_WORDS: Final = 64
"""Roles or scopes of one key: more is a mistake, and rules look at each."""
MAX_LIFE_S: Final = 100 * 366 * 86_400.0
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


def make(wanted: NewKey, *, now_s: float, pepper: bytes) -> tuple[ApiKeyRecord, Secret]:
    """The record to keep, and the key itself, which is given this once. Raises `ConfigError`, naming what is odd."""
    kind = next((kind for kind in KINDS if kind == wanted.kind), None)
    if kind is None:
        raise ConfigError("--kind", f"{wanted.kind!r} is unknown", ", ".join(KINDS))
    _refuse_odd(wanted)
    key_id, key = make_api_key()
    record = ApiKeyRecord(
        id=key_id,
        hash=hash_of(key.reveal().encode(), pepper),
        owner=wanted.owner or wanted.name,
        name=wanted.name,
        tenant=wanted.tenant,
        kind=kind,
        roles=frozenset(wanted.roles),
        scopes=frozenset(wanted.scopes),
        created_at_s=now_s,
        expires_at_s=None if wanted.life_s is None else now_s + wanted.life_s,
        verifier=verifier_of(key.reveal().encode(), key_id, pepper),
    )
    return record, key


def described(record: ApiKeyRecord, now_s: float) -> dict[str, Any]:
    """A record for people and machines; neither the key nor its hash."""
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
        "created": instant(record.created_at_s),
        "expires": instant(record.expires_at_s),
        "last_used": instant(record.last_used_at_s),
    }


def instant(at_s: float | None) -> str | None:
    """RFC 3339, in UTC and whole seconds."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        if len(texts) > MAX_WORDS:
            raise ConfigError(where, f"more than {MAX_WORDS} were given")
        for text in texts:
            if _SCOPE.fullmatch(text) is None or len(text) > MAX_CHARACTERS:
                allowed = "visible ASCII without space, quote and backslash"
                raise ConfigError(where, f"{text!r} is no {where[2:]}", allowed)
    if wanted.life_s is not None and not 0 < wanted.life_s <= MAX_LIFE_S:
        raise ConfigError("--expires-days", "is no time to come", "up to a hundred years, or none for ever")
