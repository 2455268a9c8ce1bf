"""What a node does beside its calls: work at intervals, and words for the log about what nobody awaits."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal

log: Final = structlog.get_logger("mantlet")


async def every(interval_s: float, work: Callable[[], Any]) -> None:
    """Do `work` every `interval_s`, whatever becomes of it."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            result = work()
            if asyncio.iscoroutine(result):
                await result
        except Refusal as refusal:
            log.warning("housekeeping", why=refusal.why)
        except Exception as error:  # a task root: the watch over streams must not end with its first surprise
            failed(error)


def log_warning(event: str, fields: Any) -> None:
    """What somebody should look at, into the log."""
    log.warning(event, **fields)


def log_event(event: str, fields: Any) -> None:
    """What an upstream reports, into the log."""
    log.info(event, **fields)


def audit_told(event: str, said: str) -> None:
    """What the journal reports, into the log: its failure is an error, its return is not."""
    (log.error if event == "audit.failed" else log.warning)(event, said=said)


def failed(error: BaseException, trail: Trail | None = None) -> None:
    """What nobody expected and nobody awaits."""
    log.error("unexpected", error=type(error).__name__, said=str(error)[:500], request_id=trail and trail.request_id)
