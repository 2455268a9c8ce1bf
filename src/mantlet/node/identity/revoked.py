"""What is revoked, for tokens of the node's own and of any issuer."""

import secrets
from functools import partial

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import State
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.housekeeping import every
from mantlet.node.storage.durable import Durable
from mantlet.policies.authenticate.revoked import SYNC_S, Revoked
from mantlet.stores.sql.revocations import RevocationRows


async def open_revoked(durable: Durable, state: State, metrics: Metrics, tasks: Tasks) -> Revoked:
    """What is revoked, kept up to date; one for all generations of the configuration."""
    revoked = Revoked(RevocationRows(durable.database), state, SYSTEM, partial(secrets.token_hex, 8))
    await revoked.open()
    tasks.start(every(SYNC_S, durable.quiet(revoked.sync)), "revoked.sync")
    metrics.gauge("mantlet_revocations", "Revocations of tokens in force", lambda: len(revoked), "max")
    metrics.gauge(  # beyond a few seconds the shared store is down: what other nodes revoke is not known here
        "mantlet_revocations_stale_seconds", "Since other nodes were last heard", lambda: revoked.stale_s, "max"
    )
    return revoked
