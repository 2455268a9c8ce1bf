"""What outlives a process, over every database there is. Each test has one that is new."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.stores.postgres import PostgresServer

from mantlet.core.api_key import ApiKeyRecord
from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.revocation import Revocation
from mantlet.stores.sql import api_keys, changes
from mantlet.stores.sql.api_keys import ApiKeys
from mantlet.stores.sql.changes import Changes
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database, Transaction
from mantlet.stores.sql.facts import claim_fact
from mantlet.stores.sql.kills import KillRows
from mantlet.stores.sql.logins import LoginRows, Row
from mantlet.stores.sql.migrate import done, migrate
from mantlet.stores.sql.names import NameRows
from mantlet.stores.sql.opening import open_database
from mantlet.stores.sql.pins import PinRows
from mantlet.stores.sql.revocations import RevocationRows
from mantlet.stores.sql.schema import KNOWN

RECORD = ApiKeyRecord(
    "abc", "h" * 64, "ann", "laptop", "acme", "user", frozenset({"a", "b"}), frozenset({"x"}), 1.5, 9e9, verifier="v"
)
KEY = DefinitionKey("one", "tools", "get_time")


class Hands:
    """A clock in the test's hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Process:
    """What one process has of a database."""

    database: Database
    changes: Changes
    keys: ApiKeys


Opened = Callable[[], AbstractAsyncContextManager[Process]]


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseConfig:
    if request.param == "sqlite":
        return DatabaseConfig(url=f"sqlite:///{tmp_path}/mantlet.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return DatabaseConfig(url=server.url())


@pytest.fixture
def opened(config: DatabaseConfig, hands: Hands) -> Opened:
    """Opens the database as another process would."""

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Process]:
        async with open_database(config) as database:
            seen = Changes(database, hands)
            yield Process(database, seen, ApiKeys(database, seen))

    return open_it


async def test_a_record_is_kept_whole(opened: Opened) -> None:
    """AUTHN-05"""
    async with opened() as one:
        await one.keys.create(RECORD)
        assert await one.keys.find("abc") == RECORD
        assert await one.keys.list() == [RECORD]
        assert await one.keys.list("acme") == [RECORD]
        assert await one.keys.list("other") == []
    async with opened() as again:
        assert await again.keys.find("abc") == RECORD


async def test_an_id_is_never_overwritten(opened: Opened) -> None:
    async with opened() as one:
        await one.keys.create(RECORD)
        with pytest.raises(StoreUnavailable):
            await one.keys.create(replace(RECORD, owner="eve"))
        assert await one.keys.list() == [RECORD]


@pytest.mark.parametrize("key_id", ["", "'", "abc'--", "%", "ABC", "a" * 10_000, "\x00", "äbc", "\ud800", "?1"])
async def test_odd_ids_find_nothing_and_break_nothing(opened: Opened, key_id: str) -> None:
    """AUTHN-05"""
    async with opened() as one:
        await one.keys.create(RECORD)
        assert await one.keys.find(key_id) is None
        assert not await one.keys.revoke("nobody", 5.0)
        assert await one.keys.find("abc") == RECORD


async def test_a_revocation_acts_here_at_once_and_elsewhere_with_the_next_look(opened: Opened) -> None:
    """AUTHN-06, TOK-10: also where the key has just been used."""
    async with opened() as one, opened() as two:
        await one.keys.create(RECORD)
        await two.changes.look()
        assert await two.keys.find("abc") == RECORD
        assert await one.keys.revoke("abc", 7.0)
        assert await one.keys.revoke("abc", 8.0)
        assert await one.keys.find("abc") == replace(RECORD, revoked_at_s=7.0)
        assert two.keys.known("abc") == RECORD
        await two.changes.look()
        assert two.keys.known("abc") == replace(RECORD, revoked_at_s=7.0)


async def test_what_was_found_before_the_first_look_is_looked_up_again(opened: Opened) -> None:
    """AUTHN-06"""
    async with opened() as one, opened() as two:
        await one.keys.create(RECORD)
        assert await two.keys.find("abc") == RECORD
        assert await two.keys.find("new") is None
        await one.keys.revoke("abc", 7.0)
        await one.keys.create(replace(RECORD, id="new"))
        await two.changes.look()
        assert await two.keys.find("abc") == replace(RECORD, revoked_at_s=7.0)
        assert await two.keys.find("new") is not None


async def test_an_expiry_only_ever_comes_nearer(opened: Opened) -> None:
    async with opened() as one:
        await one.keys.create(replace(RECORD, expires_at_s=None))
        for at_s, expected_s in ((50.0, 50.0), (60.0, 50.0), (40.0, 40.0)):
            assert await one.keys.expire("abc", at_s)
            assert (found := await one.keys.find("abc")) is not None
            assert found.expires_at_s == expected_s


async def test_a_key_that_was_nobodys_is_found_once_it_is_made(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        await two.changes.look()
        assert await two.keys.find("abc") is None
        await one.keys.create(RECORD)
        assert await two.keys.find("abc") is None
        await two.changes.look()
        assert await two.keys.find("abc") == RECORD


async def test_uses_are_written_later_and_never_go_back(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        await one.keys.create(RECORD)
        one.keys.touch("abc", 50.0)
        one.keys.touch("absent", 50.0)
        await one.keys.flush()
        two.keys.touch("abc", 40.0)
        await two.keys.flush()
        await two.keys.flush()
        assert [record.last_used_at_s for record in await two.keys.list()] == [50.0]


async def test_a_key_is_asked_for_once_by_all_who_wait(opened: Opened) -> None:
    async with opened() as one:
        await one.keys.create(RECORD)
        asked: list[str] = []
        rows = one.database.rows

        async def counting(statement: str, /, *values: object) -> list[tuple[object, ...]]:
            asked.append(statement)
            return await rows(statement, *values)  # type: ignore[arg-type]

        one.database.rows = counting  # type: ignore[method-assign,assignment]
        found = await asyncio.gather(*(one.keys.find("abc") for _ in range(50)))
        assert found == [RECORD] * 50
        assert len(asked) == 1


async def test_who_leaves_while_asking_leaves_the_others_an_answer(opened: Opened) -> None:
    async with opened() as one:
        await one.keys.create(RECORD)
        first = asyncio.ensure_future(one.keys.find("abc"))
        others = [asyncio.ensure_future(one.keys.find("abc")) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        others[0].cancel()
        assert await asyncio.gather(*others[1:]) == [RECORD] * 2
        assert one.keys._asked == {}


async def test_a_database_that_does_not_answer_is_believed_for_seconds_and_then_nobody_is(
    opened: Opened, hands: Hands
) -> None:
    """AUTHN-06, TOK-10: nothing missing means yes."""
    async with opened() as one:
        await one.keys.create(RECORD)
        await one.changes.look()
        assert await one.keys.find("abc") == RECORD
        rows, one.database.rows = one.database.rows, _no_answer  # type: ignore[method-assign]
        hands.now_s += 1.0
        with pytest.raises(StoreUnavailable):
            await one.changes.look()
        assert await one.keys.find("abc") == one.keys.known("abc") == RECORD
        with pytest.raises(StoreUnavailable):
            await one.keys.find("new")
        hands.now_s += changes.STALE_S
        for ask in (one.keys.known, one.keys.is_known):
            with pytest.raises(StoreUnavailable):
                ask("abc")
        with pytest.raises(StoreUnavailable):
            await one.keys.find("abc")
        one.database.rows = rows  # type: ignore[method-assign]
        await one.changes.look()
        assert await one.keys.find("abc") == RECORD


async def test_a_loop_that_stood_still_is_no_reason_to_refuse(opened: Opened, hands: Hands) -> None:
    async with opened() as one:
        await one.keys.create(RECORD)
        await one.changes.look()
        await one.keys.find("abc")
        hands.now_s += 3_600.0
        assert one.keys.known("abc") == RECORD


async def test_what_cannot_wait_is_fetched_with_the_next_look(opened: Opened) -> None:
    async with opened() as one:
        await one.keys.create(RECORD)
        assert not one.keys.is_known("abc")
        with pytest.raises(StoreUnavailable):
            one.keys.known("abc")
        await one.keys.look()
        assert one.keys.is_known("abc")
        assert one.keys.known("abc") == RECORD
        assert not one.keys.is_known("nobody")
        await one.keys.look()
        assert one.keys.known("nobody") is None


async def test_what_is_kept_in_memory_is_bounded(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_CACHED", "MAX_ABSENT", "MAX_TOUCHED", "MAX_WANTED"):
        monkeypatch.setattr(api_keys, name, 3)
    async with opened() as one:
        for number in range(6):
            await one.keys.create(replace(RECORD, id=f"k{number}"))
            await one.keys.find(f"k{number}")
            await one.keys.find(f"absent{number}")
            one.keys.touch(f"k{number}", 1.0)
        assert len(one.keys._known) == len(one.keys._absent) == len(one.keys._touched) == 3
        for number in range(3):
            assert not one.keys.is_known(f"wanted{number}")
        with pytest.raises(StoreUnavailable):
            one.keys.is_known("wanted3")


async def test_revocations_are_read_by_number_in_the_order_in_which_they_were_written(opened: Opened) -> None:
    """TOK-10"""
    async with opened() as one, opened() as two:
        first, second = RevocationRows(one.database), RevocationRows(two.database)
        made = [Revocation(f"id{number}", "token", "", "iss", f"jti{number}", 1.0, 50.0) for number in range(4)]
        assert await first.since(0) == (0, [])
        await first.add(made[:2], 10.0)
        await second.add(made[1:3], 10.0)
        number, found = await first.since(0)
        assert found == made[:3]
        assert await second.since(number) == (number, [])
        await second.add(made[3:], 10.0)
        assert (await first.since(number))[1] == made[3:]
        await first.add([], 60.0)
        assert (await first.since(0))[1] == []


async def test_no_reader_misses_a_revocation_of_writers_at_once(opened: Opened) -> None:
    """TOK-10: numbers are given in the order in which they become visible."""
    async with opened() as one, opened() as two, opened() as three:
        seen: list[str] = []

        async def write(rows: RevocationRows, name: str) -> None:
            for number in range(15):
                await rows.add([Revocation(f"{name}{number}", "token", "", "i", "v", 1.0, 9e9)], 2.0)

        writing = [
            asyncio.ensure_future(write(RevocationRows(process.database), name))
            for process, name in ((one, "a"), (two, "b"))
        ]
        reader, number = RevocationRows(three.database), 0
        while True:
            is_over = all(task.done() for task in writing)
            number, found = await reader.since(number)
            seen += [revocation.id for revocation in found]
            if is_over:
                break
        await asyncio.gather(*writing)
        assert sorted(seen) == sorted(f"{name}{number}" for name in "ab" for number in range(15))


async def test_the_first_to_claim_a_name_has_it(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        first, second = NameRows(one.database), NameRows(two.database)
        assert await first.claim("tools", {"a": ("one", "a")}) == {"a": ("one", "a")}
        claimed = await second.claim("tools", {"a": ("two", "a"), "b": ("two", "b")})
        assert claimed == {"a": ("one", "a"), "b": ("two", "b")}
        assert await first.owners("tools") == claimed
        assert await first.owners("prompts") == {}
        both = await asyncio.gather(
            *(rows.claim("prompts", {f"n{n}": (name, "x") for n in order})
              for rows, name, order in ((first, "one", range(30)), (second, "two", range(29, -1, -1))))
        )  # fmt: skip
        assert len({owner for _, (owner, _) in both[0].items()}) == 1
        assert both[0] == both[1]


async def test_kill_switches_are_replaced_whole_or_changed_one_by_one(opened: Opened) -> None:
    """AUTHZ-06"""
    async with opened() as one, opened() as two:
        rows, others = KillRows(one.database), KillRows(two.database)
        await rows.write({("tool", "a"): ("why", "root", 1.0), ("tool", "b"): ("", "root", 2.0)})
        before = await others.number()
        number, table = await others.change({("tool", "a"): None, ("agent", "bot"): ("x", "olga", 3.0)})
        assert number > before
        assert table == {("tool", "b"): ("", "root", 2.0), ("agent", "bot"): ("x", "olga", 3.0)}
        assert await rows.rows() == table
        assert await rows.number() == number
        both = await asyncio.gather(
            rows.change({("tool", "c"): ("", "", 4.0)}), others.change({("tool", "d"): ("", "", 5.0)})
        )
        assert {len(table) for _, table in both} == {3, 4}
        assert len(await rows.rows()) == 4


def login(login_id: str = "one", **said: object) -> Row:
    values = {"client_id": "app", "tenant": "acme", "subject": "ann", "via": "abc", "granted": '{"a": 1}', "number": 1}
    times = {"created_at_s": 100.0, "used_at_s": 100.0, "expires_at_s": 900.0}
    return Row(login_id, **{**values, **times, **said})  # type: ignore[arg-type]


async def test_a_login_is_advanced_once_however_many_try(opened: Opened) -> None:
    """TOK-13"""
    async with opened() as one, opened() as two:
        first, second = LoginRows(one.database), LoginRows(two.database)
        assert await first.create(login(), 10) == []
        assert await second.find("one") == login()
        decisions = await asyncio.gather(
            *(
                rows.advance("one", lambda row: "next" if row is not None and row.number == 1 else "late", 200.0)
                for rows in (first, second, first, second)
            )
        )
        assert sorted(decisions) == ["late", "late", "late", "next"]
        assert await first.find("one") == login(number=2, used_at_s=200.0)
        assert await second.advance("one", lambda row: "spent", 300.0) == "spent"
        assert await first.all() == []
        assert await second.advance("absent", lambda row: "none" if row is None else "next", 1.0) == "none"


async def test_the_oldest_logins_end_and_what_fits_ends(opened: Opened) -> None:
    async with opened() as one:
        rows = LoginRows(one.database)
        for number in range(4):
            over = await rows.create(login(f"l{number}", created_at_s=100.0 + number), 3)
            assert over == (["l0"] if number == 3 else [])
        assert [row.id for row in await rows.all()] == ["l3", "l2", "l1"]
        words = {"login_id": "", "via": "", "client_id": "", "tenant": "", "subject": ""}
        assert await rows.end(now_s=200.0, **words) == []
        assert await rows.end(now_s=200.0, **{**words, "tenant": "acme", "subject": "bob"}) == []
        assert sorted(await rows.end(now_s=200.0, **{**words, "via": "abc"})) == ["l1", "l2", "l3"]
        await rows.create(login("late", created_at_s=1e9), 3)
        assert await rows.find("l1") is None


def definition(text: str = "0") -> Definition:
    return Definition(KEY, text, f"sha256:{text}")


async def test_what_one_finds_out_about_definitions_the_others_know_with_the_next_look(opened: Opened) -> None:
    """TOOL-02"""
    async with opened() as one, opened() as two:
        first, second = PinRows(one.database, one.changes), PinRows(two.database, two.changes)
        await two.changes.look()
        assert second.load() == ({}, {})
        pin, held = Pin(definition(), 5.0, "first use"), Held(definition("1"), "it has changed", 6.0)
        first.pin([pin], is_decided=False)
        first.hold(held)
        assert first.load() == ({KEY: pin}, {KEY: held})
        await first.settle()
        assert not second.is_changed()
        await two.changes.look()
        assert second.is_changed()
        assert second.load() == ({KEY: pin}, {KEY: held})
        assert not second.is_changed()
        second.pin([Pin(definition("1"), 7.0, "olga")], is_decided=True)
        await second.settle()
        await one.changes.look()
        assert first.load() == ({KEY: Pin(definition("1"), 7.0, "olga")}, {})


async def test_of_two_first_uses_the_one_written_first_stands_for_both(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        first, second = PinRows(one.database, one.changes), PinRows(two.database, two.changes)
        first.pin([Pin(definition("1"), 5.0, "first")], is_decided=False)
        second.pin([Pin(definition("2"), 5.0, "second")], is_decided=False)
        await first.settle()
        await second.settle()
        for process, rows in ((one, first), (two, second)):
            await process.changes.look()
            assert rows.load()[0][KEY].by == "first"


async def test_what_is_rejected_or_released_is_so_for_all(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        first, second = PinRows(one.database, one.changes), PinRows(two.database, two.changes)
        first.hold(Held(definition(), "why", 6.0))
        first.hold(Held(definition(), "why", 6.0, is_rejected=True))
        await first.settle()
        await two.changes.look()
        assert second.load()[1][KEY].is_rejected
        second.release(KEY)
        await second.settle()
        await one.changes.look()
        assert first.load() == ({}, {})


async def test_findings_that_cannot_be_written_are_not_lost_and_nothing_new_is_believed(opened: Opened) -> None:
    """Nothing missing means yes."""
    async with opened() as one, opened() as two:
        rows, others = PinRows(one.database, one.changes), PinRows(two.database, two.changes)
        rows.pin([Pin(definition(), 5.0, "first")], is_decided=False)
        transaction, one.database.transaction = one.database.transaction, _no_transaction  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await rows.settle()
        with pytest.raises(StoreUnavailable):
            rows.pin([Pin(definition("2"), 6.0, "second")], is_decided=True)
        with pytest.raises(StoreUnavailable):
            rows.hold(Held(definition("2"), "why", 6.0))
        assert rows.load()[1].keys() == {KEY}  # here it is held all the same
        one.database.transaction = transaction  # type: ignore[method-assign]
        await rows.settle()
        await two.changes.look()
        assert others.load()[0][KEY].by == "first"


@pytest.mark.parametrize("name", ["a\x00b", "\ud800"])
async def test_a_tool_whose_name_is_no_text_keeps_no_other_from_being_written(opened: Opened, name: str) -> None:
    async with opened() as one, opened() as two:
        rows, others = PinRows(one.database, one.changes), PinRows(two.database, two.changes)
        odd = Definition(DefinitionKey("one", "tools", name), "0", "sha256:0")
        with pytest.raises(StoreUnavailable):
            rows.pin([Pin(odd, 5.0, "first")], is_decided=False)
        with pytest.raises(StoreUnavailable):
            rows.hold(Held(odd, "why", 5.0))
        rows.pin([Pin(definition(), 5.0, "first")], is_decided=False)
        await rows.settle()
        await two.changes.look()
        assert others.load()[0].keys() == {KEY}


async def test_a_fact_is_decided_by_the_first(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        found = await asyncio.gather(claim_fact(one.database, "pepper", "a"), claim_fact(two.database, "pepper", "b"))
        assert found[0] == found[1] == await claim_fact(one.database, "pepper", "c")


async def test_a_transaction_is_done_whole_or_not_at_all(opened: Opened) -> None:
    async with opened() as one:
        for fault, expected in ((_fail, RuntimeError), (_nonsense, StoreUnavailable)):
            with pytest.raises(expected):
                await _put_and(one.database, fault)
        async with one.database.transaction() as transaction:
            assert await transaction.rows("SELECT * FROM facts") == []
            await _put(transaction, "c")
        assert await one.database.rows("SELECT name FROM facts") == [("c",)]


async def test_a_cancelled_transaction_leaves_nothing_open(opened: Opened) -> None:
    async with opened() as one, opened() as two:
        for pauses in range(12):

            async def work() -> None:
                async with one.database.transaction() as transaction:
                    await _put(transaction, "gone")
                    await transaction.alone("it")
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(work())
            for _ in range(pauses):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with two.database.transaction() as transaction:
            await transaction.alone("it")
            assert await transaction.rows("SELECT * FROM facts") == []
        async with one.database.transaction() as transaction:
            await _put(transaction, "kept")
        assert await two.database.rows("SELECT name FROM facts") == [("kept",)]


async def test_processes_that_start_together_bring_the_tables_up_once(config: DatabaseConfig) -> None:
    async def start() -> int:
        async with open_database(config) as database:
            return len(await done(database))

    assert await asyncio.gather(*(start() for _ in range(6))) == [KNOWN] * 6
    async with open_database(config) as database:
        assert await migrate(database) == []
        assert [step.number for step in await done(database)] == list(range(1, KNOWN + 1))


async def test_a_database_that_is_closed_refuses(opened: Opened) -> None:
    async with opened() as one:
        database = one.database
    with pytest.raises(StoreUnavailable):
        await database.rows("SELECT 1")
    with pytest.raises(StoreUnavailable):
        async with database.transaction():
            pass
    await database.close()


async def _put_and(database: Database, then: Callable[[Transaction], Awaitable[object]]) -> None:
    async with database.transaction() as transaction:
        await _put(transaction, "a")
        await then(transaction)


async def _fail(_: Transaction) -> None:
    raise RuntimeError


async def _nonsense(transaction: Transaction) -> None:
    await transaction.run("nonsense")


async def _put(transaction: Transaction, name: str) -> None:
    await transaction.run("INSERT INTO facts (name, value) VALUES (?1, '')", name)


async def _no_answer(statement: str, /, *values: object) -> list[tuple[object, ...]]:
    raise StoreUnavailable(why="down")


@asynccontextmanager
async def _no_transaction() -> AsyncIterator[Transaction]:
    raise StoreUnavailable(why="down")
    yield
