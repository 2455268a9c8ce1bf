"""What becomes of servers' endpoints: each change is told to the log, and what matters later to the audit trail.

An endpoint that is left alone, or that no probe reaches, is recorded once, and once more when it is well again; what is
tried between is only logged, so that one that is gone for days does not fill the trail (AUD-01).
"""

from typing import Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.node.housekeeping import log_event
from mantlet.upstreams.health.state import Health, State

MAX_WHY_CHARACTERS: Final = 500


class Vitals:
    """Of one process; names come from the configuration."""

    def __init__(self, journal: Journal, tasks: Tasks) -> None:
        self._journal, self._tasks = journal, tasks
        self._down: set[str] = set()

    def __call__(self, server: str, endpoint: str, before: State, health: Health) -> None:
        """An endpoint, or a server at one URL under its own name, has another state than `before`."""
        reasons = list(health.reasons)
        log_event(
            f"endpoint.{health.state}", {"server": server, "endpoint": endpoint, "was": before, "reasons": reasons}
        )
        about = f"{server} {endpoint}"
        if self._is_recorded(about, health.state):
            notes = {"was": before, "why": "; ".join(reasons)[:MAX_WHY_CHARACTERS]}
            written = note(self._journal, SYSTEM, f"endpoint.{health.state}", object=about, notes=notes)
            self._tasks.start(written, "endpoint.record")

    def _is_recorded(self, about: str, state: State) -> bool:
        if state == "unhealthy":
            is_new = about not in self._down
            self._down.add(about)
            return is_new
        if state == "healthy" and about in self._down:
            self._down.discard(about)
            return True
        return state == "stopped"  # its sessions end here; the order to drain it is recorded when it is given
