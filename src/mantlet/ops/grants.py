"""Callers' grants at upstreams, seen and taken back by hand, with a running node or without one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import AuditUnavailable, StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import open_journal
from mantlet.events.metrics import Metrics
from mantlet.node.config import Config
from mantlet.node.egress import open_egress
from mantlet.node.operators.grants import GrantsAdmin
from mantlet.node.storage.durable import opened_database
from mantlet.ops.recorded import operator

T = TypeVar("T")


def grants(config: Config) -> list[Mapping[str, Any]]:
    """Every grant; no token of theirs. Raises `ConfigError`."""
    return _with(config, lambda admin: admin.all())


def revoked(config: Config, upstream: str, subject: str, issuer: str | None, tenant: str) -> Mapping[str, Any]:
    """Take them back; how many there were, and of how many their server was told. Raises `ConfigError`."""
    return _with(config, lambda admin: admin.revoke(upstream, subject, issuer, tenant, operator()))


def _with(config: Config, work: Callable[[GrantsAdmin], Awaitable[T]]) -> T:
    async def whole() -> T:
        tasks, audit = Tasks(lambda error: None), config.audit
        async with open_journal(
            audit, load_or_create(audit), clock=SYSTEM, environment=config.environment, report=lambda *_: None
        ) as journal:
            guard = open_egress(config, journal, Metrics(environment=config.environment), tasks)
            try:
                async with opened_database(config.database) as database:
                    return await work(GrantsAdmin(config, database, journal, guard))
            finally:
                await guard.close()
                await tasks.close()

    try:
        return asyncio.run(whole())
    except StoreUnavailable as error:
        raise ConfigError("database.url", error.why) from error
    except (AuditUnavailable, OSError) as error:
        why = error.why if isinstance(error, AuditUnavailable) else str(error)
        raise ConfigError(f"audit.path ({config.audit.path})", f"the change cannot be recorded: {why}") from error
