import asyncio

from mantlet.core.refusal import StoreUnavailable
from mantlet.node.build import _every, request_ids


async def test_housekeeping_survives_a_surprise() -> None:
    """AUTHN-06: one error must not end the watch over streams for good."""
    turns = asyncio.Queue[int]()
    errors: list[Exception] = [StoreUnavailable(), ZeroDivisionError(), ValueError()]

    def work() -> None:
        turns.put_nowait(1)
        if errors:
            raise errors.pop()

    task = asyncio.ensure_future(_every(0.0, work))
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
