import asyncio

import pytest
from tests.policies.support import ALICE, BOB, Onward, Stream, arrival, reply

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import BadUpstream, Overloaded, StoreUnavailable
from mantlet.policies.authenticate.streams import CurrentStreams


class Endless:
    """One chunk, then nothing, until it is closed."""

    def __init__(self) -> None:
        self.given = 0
        self.is_closed = False
        self.waits = asyncio.Event()

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> bytes:
        self.given += 1
        if self.given > 1:
            self.waits.set()
            await asyncio.Event().wait()
        return b"chunk"

    async def aclose(self) -> None:
        self.is_closed = True


async def opened(policy: CurrentStreams, source: object, caller: Caller = ALICE) -> Reply:
    return await policy(arrival(caller=caller), Onward(Reply(200, [], source)))  # type: ignore[arg-type]


async def test_whoever_waits_for_a_chunk_finds_the_end_when_the_credential_lapses() -> None:
    """AUTHN-06"""
    revoked: set[str] = set()
    policy = CurrentStreams(lambda caller: caller.subject not in revoked)
    source, others = Endless(), Endless()
    stream = (await opened(policy, source)).body
    other = (await opened(policy, others, BOB)).body
    assert await anext(stream) == b"chunk"
    assert await anext(other) == b"chunk"
    waiting = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
    await source.waits.wait()
    assert policy.check() == 0
    revoked.add("alice")
    assert policy.check() == 1
    await asyncio.wait({waiting})
    assert isinstance(waiting.exception(), StopAsyncIteration)
    assert source.is_closed
    assert not others.is_closed
    assert policy.check() == 0
    await other.aclose()  # type: ignore[union-attr]


async def test_a_stream_nobody_reads_at_the_moment_gives_no_chunk_more() -> None:
    policy = CurrentStreams(lambda caller: False)
    source = Endless()
    stream = (await opened(policy, source)).body
    assert policy.check() == 1
    with pytest.raises(StopAsyncIteration):
        await anext(stream)  # type: ignore[arg-type]
    await stream.aclose()  # type: ignore[union-attr]
    assert source.is_closed
    assert source.given == 0


async def test_streams_end_when_nobody_can_say_whether_the_credential_holds() -> None:
    """AUTHN-06: and one store's failure does not hide another caller's expiry."""

    def is_current(caller: Caller) -> bool:
        if caller is ALICE:
            raise StoreUnavailable
        return False

    policy = CurrentStreams(is_current)
    bodies = [(await opened(policy, Endless(), who)).body for who in (ALICE, BOB, ALICE)]
    assert policy.check() == 3
    for body in bodies:
        await body.aclose()  # type: ignore[union-attr]
    assert policy.check() == 0


@pytest.mark.parametrize("how", ["read out", "closed", "never begun", "broken"])
async def test_a_stream_that_is_over_is_not_watched(how: str) -> None:
    policy = CurrentStreams(lambda caller: False)

    class Broken(Stream):
        async def __anext__(self) -> bytes:
            raise BadUpstream

    stream = (await opened(policy, Broken() if how == "broken" else Stream(b"a"))).body
    if how == "read out":
        assert [chunk async for chunk in stream] == [b"a"]  # type: ignore[union-attr]
    elif how == "broken":
        with pytest.raises(BadUpstream):
            await anext(stream)  # type: ignore[arg-type]
    if how != "read out":
        await stream.aclose()  # type: ignore[union-attr]
    assert policy.check() == 0


async def test_cancelling_a_reader_is_no_end_of_the_stream() -> None:
    policy = CurrentStreams(lambda caller: True)
    source = Endless()
    stream = (await opened(policy, source)).body
    await anext(stream)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
    await source.waits.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    await stream.aclose()  # type: ignore[union-attr]


async def test_a_whole_answer_is_passed_as_it_is() -> None:
    whole = reply({})
    assert await CurrentStreams(lambda caller: False)(arrival(), Onward(whole)) is whole


async def test_a_caller_has_so_many_streams_and_others_their_own() -> None:
    """RATE-06"""
    policy = CurrentStreams(lambda caller: True, max_per_caller=2)
    first, second, third = Endless(), Endless(), Endless()
    bodies = [(await opened(policy, source)).body for source in (first, second)]
    with pytest.raises(Overloaded):
        await opened(policy, third)
    assert third.is_closed
    assert (await opened(policy, Endless(), BOB)).body is not None
    await bodies[0].aclose()  # type: ignore[union-attr]
    await bodies[0].aclose()  # type: ignore[union-attr]
    await opened(policy, Endless())
    with pytest.raises(Overloaded):
        await opened(policy, Endless())
