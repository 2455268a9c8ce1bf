from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.attacks.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway with one upstream."""
    async with open_house(tmp_path) as opened:
        yield opened
