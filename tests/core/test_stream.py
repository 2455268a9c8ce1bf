from collections.abc import AsyncGenerator

import pytest

from mantlet.core.stream import Derived


class Source:
    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> bytes:
        return b"x"

    async def aclose(self) -> None:
        self.closed += 1


async def doubled(source: Source) -> AsyncGenerator[bytes, None]:
    async for chunk in source:
        yield chunk * 2


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_closing_closes_the_source_however_far_it_came(steps: int) -> None:
    source = Source()
    stream = Derived(doubled(source), source)
    for _ in range(steps):
        assert await anext(stream) == b"xx"
    await stream.aclose()
    assert source.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
