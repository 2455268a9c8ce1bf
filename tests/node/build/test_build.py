import asyncio

import structlog

from mantlet.core.refusal import StoreUnavailable
from mantlet.node.build.lasting import request_ids
from mantlet.node.housekeeping import audit_told, every


async def test_housekeeping_survives_a_surprise() -> None:
    """AUTHN-06: one error must not end the watch over streams for good."""
    turns = asyncio.Queue[int]()
    errors: list[Exception] = [StoreUnavailable(), ZeroDivisionError(), ValueError()]

    def work() -> None:
        turns.put_nowait(1)
        if errors:
            raise errors.pop()

    task = asyncio.ensure_future(every(0.0, work))
    async with asyncio.timeout(5):
        for _ in range(5):
            await turns.get()
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


def test_request_ids_never_repeat_within_a_run_or_between_runs() -> None:
    one, other = request_ids(), request_ids()
    ids = [one() for _ in range(1000)] + [other() for _ in range(1000)]
    assert len(set(ids)) == 2000


def test_only_the_failure_of_the_audit_trail_is_an_error() -> None:
    with structlog.testing.capture_logs() as logs:
        audit_told("audit.failed", "OSError: full")
        audit_told("audit.repaired", "is written to again")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("audit.failed", "error"),
        ("audit.repaired", "warning"),
    ]
