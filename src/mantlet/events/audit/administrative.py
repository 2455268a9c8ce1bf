"""Records of what is no call: the node's own acts and an operator's."""

from collections.abc import Mapping
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Journal
from mantlet.core.record import Record, Severity, Trail, Verdict

NODE: Final = "node"
"""The door of records that the node makes by itself."""

_SEVERITY: Final[Mapping[str, Severity]] = {
    "audit.lost": "critical",
    "audit.damaged": "critical",
    "audit.recovered": "warning",
    "audit.repaired": "warning",
    "breaker.open": "warning",
    "config.refused": "error",
    "endpoint.drained": "notice",
    "endpoint.healthy": "notice",
    "endpoint.stopped": "notice",
    "endpoint.undrained": "notice",
    "endpoint.unhealthy": "warning",
    "grant.created": "notice",
    "grant.ended": "notice",
    "grant.revoked": "notice",
    "grant.unreadable": "warning",
    "key.created": "notice",
    "key.revoked": "notice",
    "pin.approved": "notice",
    "pin.lock_refused": "error",
    "pin.quarantined": "warning",
    "pin.rejected": "notice",
    "database.copied": "notice",
    "database.migrated": "notice",
    "key.rotated": "notice",
    "token.revoked": "notice",
    "workers.replaced": "notice",
    "node.leaving": "notice",
    "node.stays": "notice",
    "risk.accepted": "warning",
    "store.degraded": "warning",
    "store.recovering": "notice",
    "store.shared": "notice",
}
_REFUSED: Final = frozenset({"config.refused", "pin.lock_refused"})
"""What somebody wanted and did not get."""


def record_of(
    event: str,
    *,
    at_s: float,
    object: str = "",  # noqa: A002 - the member's name in the record
    principal: str = NODE,
    tenant: str = "",
    door: str = NODE,
    peer: str = "",
    request_id: str = "",
    verdict: Verdict = "allow",
    reason: str = "",
    why: str = "",
    notes: Mapping[str, str] | None = None,
) -> Record:
    """A record of `event`, a name like `node.started`, `config.loaded`, `key.created`."""
    trail = Trail(request_id, door, peer, at_s, event, object, principal=principal, tenant=tenant)
    trail.notes = dict(notes or {})
    severity: Severity = _SEVERITY.get(event, "info" if verdict == "allow" else "warning")
    return Record(trail, verdict, reason, why, severity=severity, event=event)


async def note(
    journal: Journal,
    clock: Clock,
    event: str,
    *,
    object: str = "",  # noqa: A002 - the member's name in the record
    principal: str = NODE,
    tenant: str = "",
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write down an administrative act; raises `AuditUnavailable`, and then the act must not be acknowledged."""
    verdict: Verdict = "deny" if event in _REFUSED else "allow"
    at_s = clock.wall()
    await journal.append(
        record_of(event, at_s=at_s, object=object, principal=principal, tenant=tenant, verdict=verdict, notes=notes)
    )
