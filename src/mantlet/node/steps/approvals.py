"""Approvals as they are opened and announced."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Final

from mantlet.core.call import Call
from mantlet.core.clock import SYSTEM
from mantlet.core.headers import JSON
from mantlet.core.ports import Fetch, Journal, Sealer, State
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.metrics import Metrics
from mantlet.keys.files import read_secret
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import log
from mantlet.node.upstreams.definitions import Definitions
from mantlet.policies.approvals.asked import Request
from mantlet.policies.approvals.book import Book
from mantlet.policies.approvals.config import WebhookConfig
from mantlet.policies.approvals.policy import Approvals
from mantlet.policies.authorize.compiling import patterns

SIGNATURE: Final = b"x-mantlet-signature"
WEBHOOK_TIMEOUT_S: Final = 10.0


def open_book(config: Config, state: State, sealer: Sealer) -> Book | None:
    """The book of requests, or None where no call needs approval."""
    section = config.authorization.approvals
    if section is None:
        return None
    return Book(state, sealer, SYSTEM, validity_s=section.validity, timeout_s=section.timeout)


def make_approvals(
    config: Config,
    book: Book | None,
    *,
    fetch: Fetch,
    journal: Journal,
    metrics: Metrics,
    tasks: Tasks,
    definitions: Definitions,
    recheck: Callable[[Call], None],
) -> Approvals | None:
    """The step of the path. Raises `ConfigError` for a webhook's secret that cannot be read."""
    section = config.authorization.approvals
    matches = None if section is None else patterns(section.tools)
    if section is None or book is None or matches is None:
        return None
    announce = Announce(section.webhook, fetch, journal, tasks)
    approvals = Approvals(
        book,
        matches,
        clock=SYSTEM,
        timeout_s=section.timeout,
        hold_s=section.hold,
        definition_of=definitions.hash_of,
        announce=announce,
        recheck=recheck,
    )
    metrics.gauge("mantlet_approvals_held", "Calls that are kept waiting for approval", lambda: approvals.held)
    return approvals


class Announce:
    """Writes a new request down, and tells the webhook. A webhook that fails loses an announcement, not a request."""

    def __init__(self, webhook: WebhookConfig | None, fetch: Fetch, journal: Journal, tasks: Tasks) -> None:
        self._webhook, self._fetch, self._journal, self._tasks = webhook, fetch, journal, tasks
        secret = None if webhook is None else webhook.secret
        if webhook is not None and secret is None and webhook.secret_file:
            secret = read_secret(webhook.secret_file)
        self._secret = secret

    def __call__(self, request: Request) -> None:
        """Told of each request once, by the process that made it."""
        self._tasks.start(self._tell(request), "approval.requested")

    async def _tell(self, request: Request) -> None:
        about = f"{request.server} {request.tool}"
        notes = {"approval": request.id, "digest": request.digest}
        await note(
            self._journal, SYSTEM, "approval.requested", object=about, principal=request.caller,
            tenant=request.tenant, notes=notes,
        )  # fmt: skip
        if self._webhook is None:
            return
        told = {
            "event": "approval.requested",
            "approval": request.id,
            "caller": request.caller,
            "on_behalf_through": list(request.act),
            "server": request.server,
            "tool": request.tool,
            "digest": request.digest,
            "until_s": request.until_s,
        }
        body = json.dumps(told).encode()
        headers = [JSON]
        if self._secret is not None:
            headers.append((SIGNATURE, signature(body, self._secret.reveal().encode(), int(SYSTEM.wall()))))
        try:
            answer = await self._fetch(
                "POST", self._webhook.url, headers=headers, body=body, timeout_s=WEBHOOK_TIMEOUT_S, max_bytes=65_536
            )
        except Refusal as refusal:
            log.warning("approval.webhook", approval=request.id, why=refusal.why)
        else:
            if answer.status >= 300:
                log.warning("approval.webhook", approval=request.id, why=f"answered {answer.status}")


def signature(body: bytes, secret: bytes, at_s: int) -> bytes:
    """`t=TIME,v1=HEX`: the time is signed with the body, so that an old announcement cannot be sent again."""
    mac = hmac.new(secret, b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={mac}".encode()
