"""`authorization.approvals`."""

from typing import Annotated

import msgspec

from mantlet.core.secret import Secret

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a new request is announced by POST. The arguments are not told: whoever decides looks at them here."""

    url: str
    secret: Secret | None = None
    """Signs each request: `X-Mantlet-Signature: t=TIME,v1=HMAC-SHA256(secret, "TIME.body")`."""
    secret_file: str | None = None


class ApprovalsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which calls wait for a human's yes."""

    tools: list[str] = []
    """Patterns, of a tool's own name or `server__tool`."""
    timeout: Seconds = 300
    """How long a request may be decided."""
    hold: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 30
    """How long a call is kept waiting, within its own deadline; then it is answered `approval_pending`, and may come
    again with the same arguments."""
    validity: Seconds = 300
    """How long after the yes the call may come."""
    webhook: WebhookConfig | None = None
