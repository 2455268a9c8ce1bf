"""What is decided for a whole address is written down once a second, with a number."""

import asyncio

import pytest
from tests.policies.record.test_policy import Book

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import AuditUnavailable
from mantlet.policies.record.tally import EVENT, MAX_SOURCES, Tally


class Scene:
    """A tally, what reached the path behind it, and what it was answered."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.refused = {"bad"}
        self.book = Book()
        self.reached: list[str] = []
        self.counted: dict[str, float] = {}
        self.status = 429
        self.tally = Tally([self.judge], self.book, Clock(lambda: self.now_s, lambda: 1e9 + self.now_s), self)
        self.handle = self.tally.before(self.path)

    def judge(self, arrival: Arrival) -> str:
        return arrival.peer if arrival.peer in self.refused else ""

    def count(self, family: str, /, *labels: str, by: float = 1) -> None:
        self.counted[family] = self.counted.get(family, 0) + by

    async def path(self, arrival: Arrival) -> Reply:
        self.reached.append(arrival.trail.request_id)
        headers = [(b"x-request-id", arrival.trail.request_id.encode())]
        return Reply(self.status, headers, b"no", origin="node", holds=True)

    async def come(self, request_id: str, peer: str = "bad", path: str = "/mcp") -> Reply:
        async def read() -> bytes:
            raise AssertionError("the body of what is refused is not read")

        trail = Trail(request_id, "http", peer, 0.0)
        return await self.handle(Arrival("POST", path, b"", Headers(()), peer, read, 9.0, trail))


async def test_the_first_of_a_second_takes_the_whole_path_and_the_others_its_answer() -> None:
    """AUD-01: each request id that was given out is one that was recorded."""
    scene = Scene()
    replies = [await scene.come(f"r{n}") for n in range(100)]
    assert scene.reached == ["r0"]
    assert {(reply.status, reply.header(b"x-request-id"), reply.body, reply.holds) for reply in replies} == {
        (429, b"r0", b"no", True)
    }
    scene.now_s = 1.0
    await scene.come("next")
    assert scene.reached == ["r0", "next"]


async def test_the_number_is_written_when_the_second_is_over() -> None:
    """AUD-01: who, why, how many, and as which request."""
    scene = Scene()
    for n in range(100):
        await scene.come(f"r{n}")
    await scene.tally.write()
    assert scene.book.records == []
    scene.now_s = 1.0
    await scene.tally.write()
    await scene.tally.write()
    (record,) = scene.book.records
    assert (record.event, record.verdict, record.reason, record.status) == (EVENT, "deny", "rate_limited", 429)
    assert (record.trail.object, record.trail.peer, record.trail.notes) == ("bad", "bad", {"count": "99", "as": "r0"})
    assert scene.counted == {"mantlet_refusals_told_together": 99}


async def test_the_last_number_is_written_when_the_node_ends() -> None:
    scene = Scene()
    await scene.come("r0")
    await scene.come("r1")
    await scene.tally.write(is_last=True)
    assert [record.trail.notes["count"] for record in scene.book.records] == ["1"]


async def test_no_second_means_no_record() -> None:
    scene = Scene()
    await scene.come("r0")
    scene.now_s = 2.0
    await scene.tally.write()
    assert scene.book.records == []


async def test_nobody_else_notices() -> None:
    scene = Scene()
    for n in range(5):
        assert (await scene.come(f"b{n}")).status == 429
        assert (await scene.come(f"g{n}", "good")).header(b"x-request-id") == f"g{n}".encode()
    assert [one for one in scene.reached if one.startswith("g")] == [f"g{n}" for n in range(5)]


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_what_was_not_refused_is_not_told_again(status: int) -> None:
    """A judge that is wrong by a moment shuts nobody out."""
    scene = Scene()
    scene.status = status
    for n in range(3):
        await scene.come(f"r{n}")
    assert scene.reached == ["r0", "r1", "r2"]


async def test_while_nothing_can_be_written_nothing_is_told_again() -> None:
    """AUD-02: then the whole path answers, as it does then. A number that could not be written waits."""
    scene = Scene()
    await scene.come("r0")
    await scene.come("r1")
    scene.book.is_able = False
    await scene.come("r2")
    assert scene.reached == ["r0", "r2"]
    scene.now_s = 5.0
    scene.book.fails = True
    with pytest.raises(AuditUnavailable):
        await scene.tally.write()
    scene.book.fails = False
    await scene.tally.write()
    assert [record.trail.notes["count"] for record in scene.book.records] == ["1"]


async def test_many_at_once_lose_no_number() -> None:
    scene = Scene()
    gate = asyncio.Event()
    inner = scene.path

    async def slow(arrival: Arrival) -> Reply:
        await gate.wait()
        return await inner(arrival)

    scene.handle = scene.tally.before(slow)
    early = [asyncio.ensure_future(scene.come(f"e{n}")) for n in range(10)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*early)
    for n in range(20):
        await scene.come(f"l{n}")
    await scene.tally.write(is_last=True)
    numbers = sum(int(record.trail.notes["count"]) for record in scene.book.records)
    assert numbers + len(scene.reached) == 30


async def test_more_sources_than_are_told_together_have_records_of_their_own() -> None:
    """RATE-02: what can grow has a bound."""
    scene = Scene()
    scene.refused = {str(n) for n in range(MAX_SOURCES + 2)}
    for n in range(MAX_SOURCES + 2):
        await scene.come("a", str(n))
    before = len(scene.reached)
    await scene.come("b", str(MAX_SOURCES + 1))
    await scene.come("b", "0")
    assert len(scene.reached) == before + 1


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource/mcp", "/oauth/token"])
async def test_what_is_for_strangers_is_decided_each_time(path: str) -> None:
    """AUTHN-07, AUTHN-08: a document that needs no credential is not refused for a bad one."""
    scene = Scene()
    await scene.come("r0")
    for n in range(3):
        await scene.come(f"p{n}", path=path)
    assert scene.reached == ["r0", "p0", "p1", "p2"]
