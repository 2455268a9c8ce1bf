"""EGR-01: names become checked addresses, once, off the loop."""

import asyncio
from collections.abc import Sequence

import pytest

from mantlet.core.clock import Clock
from mantlet.core.refusal import EgressDenied, UpstreamUnavailable
from mantlet.upstreams.egress import Destination, Guard, compile_rules
from mantlet.upstreams.egress import guard as module


class Names:
    """A name server in the test's hand."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if self.gate is not None:
            await self.gate.wait()
        if host not in self.answers:
            raise OSError(-2, "Name or service not known")
        return self.answers[host]


class House:
    def __init__(self, names: Names, *allow: str) -> None:
        self.now_s = 100.0
        self.told: list[tuple[Destination, str]] = []
        self.guard = Guard(
            compile_rules(allow=allow),
            clock=Clock(lambda: self.now_s, lambda: 0.0),
            on_refused=lambda where, why: self.told.append((where, why)),
            lookup=names,
        )


async def test_a_public_name_becomes_its_addresses() -> None:
    house = House(names := Names(a_example=["8.8.8.8", "2606:4700::1"]))
    assert await house.guard.resolve("a.example", 443) == ("8.8.8.8", "2606:4700::1")
    assert names.asked == ["a.example"]


async def test_an_address_is_checked_without_asking() -> None:
    house = House(names := Names())
    assert await house.guard.resolve("8.8.8.8", 443) == ("8.8.8.8",)
    for host in ("127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "2002:a9fe:a9fe::"):
        with pytest.raises(EgressDenied):
            await house.guard.resolve(host, 443)
    assert names.asked == []


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "127。0。0。1", "ⓛocalhost", "", "a b"])
async def test_an_odd_name_is_not_even_asked_for(host: str) -> None:
    """EGR-02"""
    house = House(names := Names())
    with pytest.raises(EgressDenied):
        await house.guard.resolve(host, 443)
    assert names.asked == []
    assert len(house.told) == 1


@pytest.mark.parametrize("found", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8"] * 40 + ["127.0.0.1"]])
async def test_one_bad_address_condemns_the_name(found: list[str]) -> None:
    """EGR-01: all resolved addresses are checked."""
    house = House(Names(a_example=found))
    with pytest.raises(EgressDenied, match="address"):
        await house.guard.resolve("a.example", 443)
    assert house.told[0][0] == ("a.example", 443)


async def test_what_was_checked_is_what_is_used() -> None:
    """EGR-01: a name bound anew after the check leads nowhere else, then or later."""
    house = House(names := Names(a_example=["8.8.8.8"]))
    assert await house.guard.resolve("a.example", 443) == ("8.8.8.8",)
    names.answers["a.example"] = ["127.0.0.1"]
    assert await house.guard.resolve("a.example", 443) == ("8.8.8.8",)
    house.now_s += module.KNOWN_S
    with pytest.raises(EgressDenied, match="loopback"):
        await house.guard.resolve("a.example", 443)


async def test_a_refusal_is_remembered_for_a_moment_and_told_each_time() -> None:
    house = House(names := Names(a_example=["10.0.0.1"]))
    for _ in range(3):
        with pytest.raises(EgressDenied):
            await house.guard.resolve("a.example", 443)
    assert (len(names.asked), len(house.told)) == (1, 3)
    names.answers["a.example"] = ["8.8.8.8"]
    house.now_s += module.REFUSED_S
    assert await house.guard.resolve("a.example", 443) == ("8.8.8.8",)


async def test_many_who_ask_at_once_share_one_question() -> None:
    house = House(names := Names(a_example=["8.8.8.8"]))
    names.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(house.guard.resolve("a.example", 443)) for _ in range(5)]
        leaver = group.create_task(house.guard.resolve("a.example", 443))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaver.cancel()
        names.gate.set()
    assert [task.result() for task in asked] == [("8.8.8.8",)] * 5
    assert leaver.cancelled()
    assert names.asked == ["a.example"]


async def test_a_name_without_address_is_unavailable_and_asked_for_again() -> None:
    house = House(names := Names(b_example=[]))
    for host in ("a.example", "a.example", "b.example"):
        with pytest.raises(UpstreamUnavailable):
            await house.guard.resolve(host, 443)
    assert names.asked == ["a.example", "a.example", "b.example"]
    assert house.told == []


async def test_a_silent_name_server_ends_with_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESOLVE_S", 0.0)
    house = House(names := Names(a_example=["8.8.8.8"]))
    names.gate = asyncio.Event()
    with pytest.raises(UpstreamUnavailable, match="in time"):
        await house.guard.resolve("a.example", 443)


async def test_questions_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESOLVING", 1)
    house = House(names := Names(a_example=["8.8.8.8"]))
    names.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(house.guard.resolve("a.example", 443))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamUnavailable, match="too many"):
            await house.guard.resolve("b.example", 443)
        names.gate.set()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    house = House(names := Names(a_x=["8.8.8.8"], b_x=["8.8.8.8"], c_x=["8.8.8.8"]))
    for host in ("a.x", "b.x", "c.x", "c.x", "a.x"):
        await house.guard.resolve(host, 443)
    assert names.asked == ["a.x", "b.x", "c.x", "a.x"]


async def test_the_machine_is_asked_for_localhost() -> None:
    guard = Guard(compile_rules(allow=["localhost"]))
    assert set(await guard.resolve("localhost", 1)) <= {"127.0.0.1", "::1"}
    with pytest.raises(EgressDenied):
        await Guard(compile_rules(allow=[])).resolve("localhost", 1)
