"""Work at intervals, and words about what ended a node."""

import asyncio

import pytest
import structlog

from mantlet.core.refusal import StoreUnavailable
from mantlet.node.housekeeping import every, why


async def test_a_trouble_that_goes_on_is_told_once_and_again_after_it_ended() -> None:
    """A store that is away all night must not fill the log."""
    turns = 0
    done = asyncio.Event()

    def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 10:
            done.set()
        if turns != 5:
            raise StoreUnavailable(why="gone")

    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(every(0, work))
        await done.wait()
        task.cancel()
    assert [entry["why"] for entry in logs] == ["gone", "gone"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable(why="gone"), "gone"),
        (OSError(98, "cannot listen on 127.0.0.1:1: Address already in use"),
         "cannot listen on 127.0.0.1:1: Address already in use"),
        (FileNotFoundError(2, "No such file or directory", "a.key"), "[Errno 2] No such file or directory: 'a.key'"),
        (ValueError("odd"), "odd"),
    ],
)  # fmt: skip
def test_what_ended_a_node_is_told_in_words(error: Exception, said: str) -> None:
    assert why(error) == said
