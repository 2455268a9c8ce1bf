"""What is written down about one call."""

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["allow", "deny", "error"]
Severity = Literal["info", "notice", "warning", "error", "critical"]


@dataclass(slots=True)
class Trail:
    """The notes that steps leave on the way, from which one audit record and its metrics are made.

    One per call, owned by the call's task. Never holds a credential (AUD-06).
    Empty text means: not known (yet). Times of `took` are in seconds.
    """

    request_id: str
    door: str
    peer: str
    at_s: float
    """Unix time of arrival."""
    action: str = ""
    """The operation: a JSON-RPC method, or `METHOD /path` for plain HTTP."""
    object: str = ""
    """What it acts on: a tool's, prompt's or agent's name, a resource's URI."""
    server: str = ""
    """The upstream's name."""
    principal: str = ""
    tenant: str = ""
    credential: str = ""
    authentication: str = ""
    rule: str = ""
    """The rule or limit that decided."""
    era: str = ""
    trace_id: str = ""
    client_request_id: str = ""
    """The client's own word for its request, kept as such."""
    rpc_id: bytes | None = None
    """The JSON-RPC id as raw JSON, once read: an error can then be answered to it."""
    notes: dict[str, str] = field(default_factory=dict)
    """Anything more worth writing, by policies (shadow verdicts, quarantine, fallback)."""


@dataclass(slots=True)
class Record:
    """One line of the audit trail: a trail and how it ended.

    `event` is `call` for what came through a door; else the name of an administrative act (`node.started`).
    `reason` is the refusal's word, or empty; `why` is for the record only. `status` is 0 where there is none.
    """

    trail: Trail
    verdict: Verdict = "allow"
    reason: str = ""
    why: str = ""
    status: int = 0
    duration_s: float = 0.0
    severity: Severity = "info"
    event: str = "call"
