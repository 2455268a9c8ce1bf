"""What a node does beside its calls: work at intervals, and words for the log about what nobody awaits."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.events.structured import structlog

log: Final = structlog.get_logger("mantlet")


REPEAT_S: Final = 60.0
"""How often a trouble that goes on is told again: a store that is away all night must not fill the log."""


async def every(interval_s: float, work: Callable[[], Any]) -> None:
    """Do `work` every `interval_s`, whatever becomes of it."""
    clock = asyncio.get_running_loop().time
    told, told_at_s = "", -math.inf
    while True:
        await asyncio.sleep(interval_s)
        try:
            result = work()
            if asyncio.iscoroutine(result):
                await result
            told = ""
        except Refusal as refusal:
            if refusal.why != told or clock() - told_at_s >= REPEAT_S:
                log.warning("housekeeping", why=refusal.why)
                told, told_at_s = refusal.why, clock()
        except Exception as error:  # a task root: the watch over streams must not end with its first surprise
            failed(error)


def tell(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """What a part reports, into the log."""
    getattr(log, level)(event, **fields)


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


def why(error: Exception) -> str:
    """What ended a node, for whoever started it: without the number of the system's error, and with the file's name."""
    match error:
        case Refusal():
            return error.why
        case OSError(strerror=str(said), filename=None):
            return said
        case _:
            return str(error)
