"""Grants: found, refreshed once for all, ended, and readable in their own row alone."""

import asyncio
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import BadUpstream, ConsentRequired, Refusal, Unavailable, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.keys.seal import NodeSealer
from mantlet.node.oauth_client.grants import KeptGrants
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.grants import GrantRows
from mantlet.stores.sql.opening import open_database
from mantlet.stores.state import MemoryState
from mantlet.upstreams.identity.user.book import FORCED_S, LOOK_S, RETRY_S, GrantBook
from mantlet.upstreams.identity.user.kept import GrantKey, Kept, seal, unseal
from mantlet.upstreams.oauth import AuthorizationServer, Registration, Tokens

ISSUER = "https://login.docs.example"
ALICE = Caller("alice", "https://idp.example", "jwt")
BOB = Caller("bob", "https://idp.example", "jwt")


class Town:
    """An authorization server behind a fake `Fetch`, a database, and as many processes as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 1_000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.folder = folder
        self.state = MemoryState(self.clock)
        self.sealer = NodeSealer([b"k" * 32])
        self.asked: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.told: list[tuple[str, GrantKey]] = []
        self.answer: dict[str, Any] | Refusal = {}
        self.status = 200
        self.rotates = True
        self.held = asyncio.Event()
        self.held.set()
        self.reached = asyncio.Event()
        self.count = 0
        self.ids = itertools.count()
        self.books: list[GrantBook] = []
        self.databases: list[Database] = []

    async def fetch(self, method: str, url: str, /, **more: Any) -> Fetched:
        form = {name: values[0] for name, values in parse_qs(more["body"].decode()).items()}
        if url.endswith("/revoke"):
            self.revoked.append(form["token"])
            return Fetched(200, Headers(), b"")
        assert dict(more["headers"])[b"authorization"].startswith(b"Basic ")
        self.asked.append(form)
        self.reached.set()
        await self.held.wait()
        if isinstance(self.answer, Refusal):
            raise self.answer
        self.count += 1
        body = {"access_token": f"at-{self.count}", "token_type": "Bearer", "expires_in": 600}
        body |= {"refresh_token": f"rt-{self.count}"} if self.rotates else {}
        return Fetched(self.status, Headers(), json.dumps(self.answer or body).encode())

    def book(self, upstream: str = "docs", client_id: str = "node") -> GrantBook:
        rows = GrantRows(self.databases[len(self.books) % 2])
        registration = Registration(
            ISSUER,
            client_id,
            Secret("s" * 40),
            authorization_endpoint=f"{ISSUER}/authorize",
            token_endpoint=f"{ISSUER}/token",
            revocation_endpoint=f"{ISSUER}/revoke",
        )
        book = GrantBook(
            upstream,
            AuthorizationServer(registration, self.fetch, self.clock),
            KeptGrants(rows),
            self.sealer,
            self.sealer.key_id,
            self.state,
            self.clock,
            refresh_before_s=60,
            life_s=86_400,
            resource="https://docs.example/mcp",
            new_id=lambda: f"id-{next(self.ids)}",
            tell=lambda event, key, why: self.told.append((event, key)),
        )
        self.books.append(book)
        return book

    async def revoke(self) -> bool:
        """As an operator does."""
        return await KeptGrants(GrantRows(self.databases[0])).drop(GrantKey("docs", *ALICE.key))

    def tokens(self, life_s: float = 600.0, refresh: str = "rt-0") -> Tokens:
        return Tokens("at-0", self.now_s + life_s if life_s else 0.0, refresh, "docs:read")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Books are of two processes by turns: each has the database open by itself."""
    town = Town(tmp_path)
    config = DatabaseConfig(url=f"sqlite:///{tmp_path / 'db'}")
    async with open_database(config) as one, open_database(config) as two:
        town.databases = [one, two]
        yield town
        for book in town.books:
            await book.close()


async def test_a_token_is_used_until_shortly_before_its_end_and_then_refreshed(town: Town) -> None:
    """FWD-01"""
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    town.now_s += 539
    assert await book.token(ALICE) == "at-0"
    town.now_s += 2
    assert await book.token(ALICE) == "at-1"
    assert town.asked == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "rt-0",
            "resource": "https://docs.example/mcp",
            "client_id": "node",
        }
    ]
    town.now_s += 541
    assert await book.token(ALICE) == "at-2"
    assert town.asked[1]["refresh_token"] == "rt-1"  # the one that rotated in


async def test_a_refresh_token_that_does_not_rotate_is_kept(town: Town) -> None:
    town.rotates = False
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    for _ in range(2):
        town.now_s += 541
        await book.token(ALICE)
    assert [form["refresh_token"] for form in town.asked] == ["rt-0", "rt-0"]


async def test_a_token_that_lives_shorter_than_the_margin_is_not_refreshed_with_every_call(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens(life_s=40))
    for _ in range(19):
        assert await book.token(ALICE) == "at-0"
        town.now_s += 1
    assert not town.asked


async def test_fifty_calls_of_two_processes_make_one_refresh(town: Town) -> None:
    """FWD-04: a refresh token that rotates is spent once; whoever comes second finds what the first was given."""
    one, two = town.book(), town.book()
    await one.keep(ALICE.key, town.tokens())
    town.now_s += 541
    town.held.clear()
    calls = [asyncio.ensure_future((one if n % 2 else two).token(ALICE)) for n in range(50)]
    await town.reached.wait()
    calls[0].cancel()  # whoever leaves takes nothing from the others
    town.held.set()
    tokens = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(tokens[0], asyncio.CancelledError)
    assert set(tokens[1:]) == {"at-1"}
    assert len(town.asked) == 1


async def test_another_process_takes_over_where_the_one_that_refreshed_was_killed(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    town.now_s += 541
    place = ("grants", "refresh", "docs", *ALICE.key)
    await town.state.claim(place, b"somebody who is dead", 30.0)
    asking = asyncio.ensure_future(book.token(ALICE))
    await asyncio.sleep(0)
    await town.state.drop(place)  # its time is over
    assert await asking == "at-1"


async def test_who_has_no_grant_is_asked_and_another_callers_is_never_used(town: Town) -> None:
    """FWD-04"""
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    with pytest.raises(ConsentRequired):
        await book.token(BOB)
    for other in (Caller("alice", "https://other.example", "jwt"), Caller("alice", ALICE.issuer, "jwt", "acme")):
        with pytest.raises(ConsentRequired):
            await book.token(other)
    assert await book.token(ALICE) == "at-0"


async def test_a_consent_keeps_its_name_over_refreshes_and_another_one_has_another(town: Town) -> None:
    """CACHE-05: what was fetched by one is told apart from what is fetched by the next."""
    book, other = town.book(), town.book()
    await book.keep(ALICE.key, town.tokens())
    first = await book.consent(ALICE)
    town.now_s += 541
    assert await book.token(ALICE) == "at-1"
    assert await book.consent(ALICE) == await other.consent(ALICE) == first
    town.now_s += 5
    await other.keep(ALICE.key, town.tokens())
    town.now_s += LOOK_S
    assert await book.consent(ALICE) == await other.consent(ALICE) != first
    await town.revoke()
    town.now_s += LOOK_S
    with pytest.raises(ConsentRequired):
        await book.consent(ALICE)


async def test_invalid_grant_ends_it_for_all_processes(town: Town) -> None:
    one, two = town.book(), town.book()
    await one.keep(ALICE.key, town.tokens())
    assert await two.token(ALICE) == "at-0"
    town.now_s += 541
    town.status, town.answer = 400, {"error": "invalid_grant"}
    with pytest.raises(ConsentRequired):
        await one.token(ALICE)
    town.now_s += LOOK_S + 1
    with pytest.raises(ConsentRequired):
        await two.token(ALICE)
    assert town.told == [("grant.ended", GrantKey("docs", *ALICE.key))]
    assert len(town.asked) == 1


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": "invalid_client"}),
        (401, {"error": "invalid_client"}),
        (500, {}),
        (200, {"access_token": "x", "token_type": "mac"}),
        (200, UpstreamUnavailable()),
    ],
)
async def test_a_refresh_that_fails_for_another_reason_leaves_the_grant_and_the_token_serves_to_its_end(
    town: Town, status: int, answer: Any
) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    town.now_s += 541
    town.status, town.answer = status, answer or {"nothing": 1}
    assert await book.token(ALICE) == "at-0"
    assert await book.token(ALICE) == "at-0"
    assert len(town.asked) == 1  # not with every call
    town.now_s += RETRY_S + 1
    assert await book.token(ALICE) == "at-0"
    assert len(town.asked) == 2
    town.now_s += 60
    with pytest.raises((Unavailable, BadUpstream)):
        await book.token(ALICE)
    town.status, town.answer = 200, {}
    assert (await book.token(ALICE)).startswith("at-")


async def test_a_token_without_refresh_is_used_to_its_end_and_then_consent_is_asked_anew(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens(refresh=""))
    town.now_s += 599
    assert await book.token(ALICE) == "at-0"
    town.now_s += 1
    with pytest.raises(ConsentRequired):
        await book.token(ALICE)
    assert not town.asked


async def test_a_consent_is_over_after_its_life_whatever_the_tokens_say(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens(life_s=0))
    town.now_s += 86_399
    assert await book.token(ALICE) == "at-0"
    town.now_s += 1
    with pytest.raises(ConsentRequired):
        await book.token(ALICE)


async def test_a_token_that_the_upstream_refuses_is_renewed_once_and_not_over_and_over(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    assert await book.token(ALICE) == "at-0"
    assert set(await asyncio.gather(*(book.renewed(ALICE, "at-0") for _ in range(20)))) == {"at-1"}
    assert await book.renewed(ALICE, "at-1") is None
    assert len(town.asked) == 1
    town.now_s += FORCED_S + 1
    assert await book.renewed(ALICE, "at-1") == "at-2"


async def test_a_refused_token_without_refresh_ends_the_grant(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens(refresh=""))
    await book.token(ALICE)
    with pytest.raises(ConsentRequired):
        await book.renewed(ALICE, "at-0")
    with pytest.raises(ConsentRequired):
        await book.token(ALICE)


async def test_what_is_revoked_is_used_no_longer_than_a_process_looks_away(town: Town) -> None:
    one, two = town.book(), town.book()
    await one.keep(ALICE.key, town.tokens())
    assert await two.token(ALICE) == "at-0"
    assert await town.revoke()
    assert not await town.revoke()
    town.now_s += LOOK_S
    for book in (one, two):
        with pytest.raises(ConsentRequired):
            await book.token(ALICE)


async def test_a_grant_that_is_revoked_while_it_is_refreshed_stays_revoked(town: Town) -> None:
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    town.now_s += 541
    town.held.clear()
    asking = asyncio.ensure_future(book.token(ALICE))
    await town.reached.wait()
    assert await town.revoke()
    town.held.set()
    with pytest.raises(ConsentRequired):
        await asking
    assert "rt-1" in town.revoked  # nobody keeps what came too late


async def test_a_grant_of_another_client_or_issuer_is_none(town: Town) -> None:
    """FWD-04: bound to who gave it, and to whom."""
    await town.book().keep(ALICE.key, town.tokens())
    with pytest.raises(ConsentRequired):
        await town.book(client_id="another").token(ALICE)


@pytest.mark.parametrize("column", ["upstream", "tenant", "issuer", "subject", "server"])
async def test_a_row_that_is_moved_does_not_open(town: Town, column: str) -> None:
    """FWD-04: whoever can write in the database makes nobody's grant another's."""
    await town.book().keep(ALICE.key, town.tokens())
    with sqlite3.connect(town.folder / "db") as database:
        database.execute(f"UPDATE grants SET {column} = 'moved'")
    moved = {
        "upstream": ("moved", ALICE),
        "tenant": ("docs", Caller("alice", ALICE.issuer, "jwt", "moved")),
        "issuer": ("docs", Caller("alice", "moved", "jwt")),
        "subject": ("docs", Caller("moved", ALICE.issuer, "jwt")),
        "server": ("docs", ALICE),
    }
    upstream, caller = moved[column]
    with pytest.raises(ConsentRequired):
        await town.book(upstream).token(caller)
    assert [event for event, _ in town.told] == ([] if column == "server" else ["grant.unreadable"])


async def test_a_row_that_does_not_open_is_told_once(town: Town) -> None:
    """Its caller may call as often as they like."""
    book = town.book()
    await book.keep(ALICE.key, town.tokens())
    town.sealer = NodeSealer([b"o" * 32])
    other = town.book()
    for _ in range(5):
        with pytest.raises(ConsentRequired):
            await other.token(ALICE)
    assert [event for event, _ in town.told] == ["grant.unreadable"]


async def test_a_row_with_another_key_does_not_open_and_says_which_key_it_wants(town: Town) -> None:
    """FWD-04"""
    await town.book().keep(ALICE.key, town.tokens())
    row = await town.book()._rows.find(GrantKey("docs", *ALICE.key))
    assert row is not None
    assert row.key_id == town.sealer.key_id
    other = NodeSealer([b"o" * 32])
    assert other.key_id != row.key_id
    assert unseal(row.sealed, GrantKey("docs", *ALICE.key), ISSUER, other) is None


async def test_nothing_secret_lies_open_in_the_database(town: Town) -> None:
    """FWD-04"""
    await town.book().keep(ALICE.key, Tokens("very-secret-access", 2_000.0, "very-secret-refresh", "docs:read"))
    raw = b"".join(file.read_bytes() for file in town.folder.iterdir())
    assert b"very-secret" not in raw


def test_parts_of_a_row_do_not_pass_into_one_another() -> None:
    """FWD-04"""
    sealer = NodeSealer([b"k" * 32])
    kept = Kept("a", "b", 0.0, "", 0.0, "c")
    sealed = seal(kept, GrantKey("docs", "t", "issuer", "x"), ISSUER, sealer)
    assert unseal(sealed, GrantKey("docs", "t", "issuer", "x"), ISSUER, sealer) == kept
    for other in (GrantKey("docs", "t", "issue", "rx"), GrantKey("doc", "st", "issuer", "x")):
        assert unseal(sealed, other, ISSUER, sealer) is None
    assert "***" in repr(kept)
    assert "a" not in repr(Tokens("a", 0.0)).replace("Tokens", "").replace("ends_s", "").replace("scope", "")
