"""What is revoked is known to every process and node, whatever becomes of the store in between."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.revocation import LIFE_S, Revocation
from mantlet.policies.authenticate.revoked import Revoked
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.opening import open_database
from mantlet.stores.sql.revocations import RevocationRows

ISSUER = "https://node.example"


class Shared:
    """A store that several nodes share, and that can be down."""

    def __init__(self) -> None:
        self.kept: dict[StateKey, bytes] = {}
        self.is_down = False

    async def get(self, key: StateKey, /) -> bytes | None:
        self._look()
        return self.kept.get(key)

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        self._look()
        self.kept[key] = value

    async def claim(self, key: StateKey, value: bytes, ttl_s: float, /) -> bytes:
        self._look()
        return self.kept.setdefault(key, value)

    async def drop(self, key: StateKey, /) -> None:
        self.kept.pop(key, None)

    def _look(self) -> None:
        if self.is_down:
            raise StoreUnavailable


class World:
    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.store = Shared()
        self._folder = folder
        self._ids = itertools.count(1)
        self._databases: dict[str, Database] = {}
        self.opened = AsyncExitStack()

    async def process(self, node: str) -> Revoked:
        """Those of one node share its database."""
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        if node not in self._databases:
            config = DatabaseConfig(url=f"sqlite:///{self._folder}/{node}")
            self._databases[node] = await self.opened.enter_async_context(open_database(config))
        revoked = Revoked(self.rows(node), self.store, clock, lambda: f"id{next(self._ids)}")
        await revoked.open()
        return revoked

    def rows(self, node: str) -> RevocationRows:
        return RevocationRows(self._databases[node])


def caller(jti: str = "a.1", subject: str = "ada", issued_at_s: float = 900.0, issuer: str = ISSUER) -> Caller:
    return Caller(subject, issuer, "jwt", credential_id=jti, issued_at_s=issued_at_s)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with made.opened:
        yield made


async def test_a_token_is_revoked_by_its_id_and_by_where_it_came_from(world: World) -> None:
    """TOK-10"""
    revoked = await world.process("one")
    assert not revoked.has(caller())
    await revoked.revoke_tokens(ISSUER, ["a.1"])
    assert revoked.has(caller())
    assert not revoked.has(caller("a.2"))
    await revoked.revoke_tokens(ISSUER, ["a"])
    assert revoked.has(caller("a.2"))
    assert not revoked.has(caller("b.1"))
    assert not revoked.has(caller("a.1", issuer="https://other.example"))
    assert not revoked.has(caller(""))


async def test_a_subject_is_revoked_until_now_and_may_come_again(world: World) -> None:
    revoked = await world.process("one")
    withdrawn = Revocation("id0", "subject", "default", ISSUER, "ada", world.now_s, world.now_s + LIFE_S)
    await world.rows("one").add([withdrawn], world.now_s)  # as an operator's command does
    await revoked.sync()
    assert revoked.has(caller(issued_at_s=1000.0))
    assert revoked.has(caller(issued_at_s=0.0)), "an unknown age is any age"
    assert not revoked.has(caller(issued_at_s=1001.0))
    assert not revoked.has(caller(subject="bob"))


async def test_processes_of_a_node_hear_by_the_database_alone(world: World) -> None:
    """TOK-10: with the shared store down, too."""
    one, two = await world.process("one"), await world.process("one")
    world.store.is_down = True
    await one.revoke_tokens(ISSUER, ["a"])
    changes: list[int] = []
    two.changed = lambda: changes.append(1)
    with pytest.raises(StoreUnavailable):
        await two.sync()
    assert two.has(caller())
    assert changes == [1]


async def test_other_nodes_hear_by_the_store_and_keep_it(world: World) -> None:
    """TOK-10"""
    one, two = await world.process("one"), await world.process("two")
    await two.sync()
    await one.revoke_tokens(ISSUER, ["a"])
    await one.sync()
    await two.sync()
    assert two.has(caller())
    assert (await world.process("two")).has(caller()), "after a restart, before it heard anybody"


async def test_both_nodes_tell_at_once_and_nothing_is_lost(world: World) -> None:
    nodes = [await world.process(name) for name in ("one", "two", "three")]
    for name, node in zip("abc", nodes, strict=True):
        await node.revoke_tokens(ISSUER, [name])
    for _ in range(2):
        for node in nodes:
            await node.sync()
    assert all(node.has(caller(f"{name}.1")) for node in nodes for name in "abc")


async def test_what_could_not_be_told_is_told_when_the_store_is_back(world: World) -> None:
    """TOK-10: the staleness is told meanwhile."""
    one, two = await world.process("one"), await world.process("two")
    for node in (one, two):
        await node.sync()
    world.store.is_down = True
    await one.revoke_tokens(ISSUER, ["a"])
    world.now_s += 30.0
    for node in (one, two):
        with pytest.raises(StoreUnavailable):
            await node.sync()
    assert (one.stale_s, two.stale_s) == (30.0, 30.0)
    assert not two.has(caller())
    world.store.is_down = False
    for node in (one, two):
        await node.sync()
    assert two.has(caller())
    assert two.stale_s == 0.0


async def test_a_store_that_lost_everything_is_nobodys_pardon(world: World) -> None:
    one = await world.process("one")
    await one.revoke_tokens(ISSUER, ["a"])
    await one.sync()
    world.store.kept.clear()
    await one.sync()
    late = await world.process("late")
    await late.sync()
    assert late.has(caller())


async def test_a_node_that_comes_late_hears_what_still_counts_and_skips_what_is_over(world: World) -> None:
    one = await world.process("one")
    await one.revoke_tokens(ISSUER, ["old"])
    await one.sync()
    (old,) = [key for key in world.store.kept if key[-1] == "0"]
    del world.store.kept[old]  # its time was over
    world.now_s += LIFE_S + 1
    await one.revoke_tokens(ISSUER, ["new"])
    await one.sync()
    late = await world.process("late")
    await late.sync()
    assert late.has(caller("new.1"))
    assert len(late) == 1
    await late.revoke_tokens(ISSUER, ["mine"])
    await late.sync()
    await one.sync()
    assert one.has(caller("mine.1"))
    assert not one.has(caller("old.1"))
