"""What a token may stand for: a user or a client, narrowed to what was asked for and consented to."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.refusal import GrantRefused
from mantlet.policies.authorization_server.clients import KEY
from mantlet.wire.forwarded import unique_subject

MAX_SCOPES: Final = 64
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Rights that tokens carry. Kept with codes and logins, hence a plain value.

    `via` is the credential that the user showed when they consented: the grant ends with it. Empty for one who logged
    in at an issuer, whose tokens are over in minutes: then `life_s` bounds what begins with it (0: nothing does).
    """

    client_id: str
    subject: str
    tenant: str
    kind: CallerKind
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    audience: str
    via: str = ""
    via_issuer: str = ""
    via_method: str = ""
    via_vouched_by: str = ""
    life_s: float = 0.0

    @property
    def scope(self) -> str:
        """As OAuth writes it."""
        return " ".join(self.scopes)


def own_subject(caller: Caller) -> str:
    """Under which name the node's own tokens know a caller: owners of keys by their own, those of other issuers by one
    that no owner of a key has."""
    return caller.subject if caller.method == KEY else unique_subject(caller)


def grant_of(
    caller: Caller,
    client_id: str,
    scopes: Iterable[str],
    audience: str,
    roles: Iterable[str] | None = None,
    life_s: float = 0.0,
) -> Grant:
    """What `caller` hands on: never more than it has."""
    is_lasting = caller.method == KEY
    return Grant(
        client_id=client_id,
        subject=own_subject(caller),
        tenant=caller.tenant,
        kind=caller.kind,
        roles=tuple(sorted(caller.roles if roles is None else caller.roles & frozenset(roles))),
        scopes=tuple(sorted(caller.scopes & frozenset(scopes))),
        audience=audience,
        via=caller.credential_id if is_lasting else "",
        via_issuer=caller.issuer,
        via_method=caller.method,
        via_vouched_by=caller.vouched_by if is_lasting else "",
        life_s=life_s,
    )


def scopes_of(scope: str | None) -> frozenset[str] | None:
    """The scopes of a request; None when it leaves them to us. Raises `GrantRefused`."""
    if scope is None:
        return None
    found = scope.split(" ")
    if len(found) > MAX_SCOPES or not all(_SCOPE.fullmatch(one) for one in found):
        raise GrantRefused("invalid_scope", "scope is no list of scopes.")
    return frozenset(found)


def narrowed(asked: frozenset[str] | None, held: Iterable[str]) -> frozenset[str]:
    """The scopes that are given: all held when none were asked for. Raises `GrantRefused` for one that is not held."""
    have = frozenset(held)
    if asked is None:
        return have
    if not asked <= have:
        raise GrantRefused("invalid_scope", "A scope is not held.")
    return asked
