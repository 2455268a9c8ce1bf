import asyncio
import os
from pathlib import Path

import pytest

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.names import SqliteNames


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "names.db"


async def test_the_first_to_claim_a_name_keeps_it_for_ever(path: Path) -> None:
    """TOOL-02: over processes and restarts."""
    first, second = SqliteNames(path), SqliteNames(path)
    assert await first.claim("tools", {"echo": ("one", "echo")}) == {"echo": ("one", "echo")}
    claimed = await second.claim("tools", {"echo": ("two", "echo"), "two__echo": ("two", "echo")})
    assert claimed == {"echo": ("one", "echo"), "two__echo": ("two", "echo")} == await first.owners("tools")
    first.close()
    second.close()
    again = SqliteNames(path)
    assert await again.claim("tools", {"echo": ("three", "echo")}) == claimed
    again.close()


async def test_kinds_are_apart_and_names_are_only_data(path: Path) -> None:
    names = SqliteNames(path)
    nasty = {"x'; DROP TABLE exposed_names; --": ("one", 'a"b'), "": ("", "")}
    await names.claim("tools", nasty)
    assert await names.owners("tools") == nasty
    assert await names.owners("prompts") == {}
    assert await names.claim("prompts", {}) == {}
    names.close()


async def test_claims_at_once_agree(path: Path) -> None:
    stores = [SqliteNames(path) for _ in range(4)]

    def claim(n: int) -> object:
        return asyncio.run(stores[n].claim("tools", {f"t{i}": (f"server-{n}", f"t{i}") for i in range(50)}))

    await asyncio.gather(*(asyncio.to_thread(claim, n) for n in range(4)))
    seen = [await store.owners("tools") for store in stores]
    assert all(one == seen[0] for one in seen)
    assert len(seen[0]) == 50
    for store in stores:
        store.close()


async def test_a_database_that_fails_is_a_refusal(path: Path, tmp_path: Path) -> None:
    names = SqliteNames(path)
    names.close()
    with pytest.raises(StoreUnavailable):
        await names.owners("tools")
    with pytest.raises(StoreUnavailable):
        await names.claim("tools", {"a": ("b", "c")})
    (tmp_path / "garbage.db").write_bytes(os.urandom(4096))
    with pytest.raises(StoreUnavailable):
        SqliteNames(tmp_path / "garbage.db")
