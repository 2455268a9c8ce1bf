"""How a request ended, in the words of the record. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from mantlet.core.record import Record, Severity, Trail, Verdict
from mantlet.core.refusal import Fault, Refusal
from mantlet.wire.answer import WIRE
from mantlet.wire.answer import status_of as answer_status

Environment = Literal["development", "staging", "production"]

CLIENT_CLOSED: Final = "client_closed_request"
"""Not a refusal of ours: the client left before its answer. The status is the one that nginx made customary."""
CLIENT_CLOSED_STATUS: Final = 499

_VERDICT: Final[Mapping[Fault, Verdict]] = {"caller": "deny", "node": "error", "upstream": "error"}

_SUSPICIOUS: Final = frozenset(
    {
        "ambiguous_credentials",
        "blocked",
        "forbidden_origin",
        "header_mismatch",
        "invalid_credential",
        "malformed",
        "misdirected_host",
    }
)
"""What an honest client does not do by accident."""


def answered(trail: Trail, status: int, duration_s: float) -> Record:
    """A request that got a reply. A status from 500 on is an error, whoever made it."""
    if status < 500:
        return Record(trail, "allow", "", "", status, duration_s, "info")
    return Record(trail, "error", "", "", status, duration_s, "error")


def refused(trail: Trail, refusal: Refusal, duration_s: float, environment: Environment) -> Record:
    """A request that was refused: `deny` for the caller's fault, else `error`."""
    verdict = _VERDICT[refusal.fault]
    status = status_of(refusal, trail)
    severity = severity_of(verdict, refusal.reason, environment)
    return Record(trail, verdict, refusal.reason, refusal.why, status, duration_s, severity)


def left(trail: Trail, duration_s: float) -> Record:
    """A request whose client did not wait."""
    return Record(trail, "error", CLIENT_CLOSED, "", CLIENT_CLOSED_STATUS, duration_s, "info")


def failed(trail: Trail, error: BaseException, duration_s: float) -> Record:
    """An error nobody expected. Its class is written and its text is not, which may hold anything (AUD-06)."""
    return Record(trail, "error", Refusal.reason, type(error).__name__, 500, duration_s, "critical")


def status_of(refusal: Refusal, trail: Trail) -> int:
    """The HTTP status that the answer will have; of the nearest known ancestor for a refusal that has no row."""
    wire = next(WIRE[kind] for kind in type(refusal).__mro__ if kind in WIRE)
    return answer_status(wire, trail)


def severity_of(verdict: Verdict, reason: str, environment: Environment) -> Severity:
    """How much an outcome matters: the same refusal is daily work in development and a sign in production."""
    if verdict == "allow":
        return "info"
    if verdict == "error":
        return "error"
    if environment == "development":
        return "info"
    return "warning" if reason in _SUSPICIOUS else "notice"
