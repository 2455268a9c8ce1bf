"""What is done without a node is in its audit trail all the same, before it is done (AUD-02)."""

import asyncio
import getpass
import os
from collections.abc import Mapping

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import AuditUnavailable
from mantlet.events.audit.administrative import note
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import open_journal
from mantlet.node.config import Config


def record(config: Config, event: str, what: str, *, tenant: str = "", notes: Mapping[str, str] | None = None) -> None:
    """Into the trail of the node, which may be running: the trail takes turns among processes. Raises `ConfigError`."""
    asyncio.run(recorded(config, event, what, tenant=tenant, notes=notes))


async def recorded(
    config: Config, event: str, what: str, *, tenant: str = "", notes: Mapping[str, str] | None = None
) -> None:
    """`record`, for who waits anyway."""
    audit = config.audit
    try:
        async with open_journal(
            audit, load_or_create(audit), clock=SYSTEM, environment=config.environment, report=lambda *_: None
        ) as journal:
            await note(journal, SYSTEM, event, object=what, principal=operator(), tenant=tenant, notes=notes)
    except (AuditUnavailable, OSError, ValueError) as error:
        why = error.why if isinstance(error, AuditUnavailable) else str(error)
        raise ConfigError(f"audit.path ({config.audit.path})", f"the change cannot be recorded: {why}") from error


def operator() -> str:
    """Who is at the keyboard, as the system knows them."""
    try:
        return f"local/os-user/{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user often has no name
        return f"local/os-user/{os.getuid()}"
