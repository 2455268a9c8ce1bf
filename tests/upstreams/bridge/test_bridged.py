"""Who takes a call: the server itself, or a crossing; and what is said where there is none."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.upstreams.transports.http.support import make_call

from mantlet.core.call import Call, Era, Kind, Reply
from mantlet.core.refusal import BadUpstream, EraUnavailable, MethodNotAllowed, Refusal
from mantlet.upstreams.bridge.bridged import Bridged, Unbridged


class Inner:
    """Speaks one era, or fails."""

    name = "one"

    def __init__(self, era: Era, error: Refusal | None = None) -> None:
        self.era = era
        self.error = error

    async def send(self, call: Call, /) -> Reply:
        if self.error is not None:
            raise self.error
        if call.era != self.era:
            raise EraUnavailable("x", ["y"], "another era")
        return Reply(200, [], b"inner")

    async def health(self) -> Mapping[str, Any]:
        return {"state": "healthy"}


class Crossing:
    def __init__(self, name: bytes) -> None:
        self.name = name

    async def send(self, call: Call, /) -> Reply:
        return Reply(200, [], self.name)


@pytest.mark.parametrize(
    ("server", "client", "taken_by"),
    [
        ("modern", "modern", b"inner"),
        ("legacy", "legacy", b"inner"),
        ("legacy", "modern", b"to legacy"),
        ("modern", "legacy", b"to modern"),
    ],
)
async def test_a_crossing_takes_what_the_server_does_not_speak(server: Era, client: Era, taken_by: bytes) -> None:
    bridged = Bridged(Inner(server), Crossing(b"to legacy"), Crossing(b"to modern"))
    assert (await bridged.send(make_call(era=client))).body == taken_by
    assert (bridged.name, await bridged.health()) == ("one", {"state": "healthy"})


async def test_other_refusals_are_the_servers_own() -> None:
    bridged = Bridged(Inner("legacy", BadUpstream(why="x")), Crossing(b""), Crossing(b""))
    with pytest.raises(BadUpstream):
        await bridged.send(make_call())


@pytest.mark.parametrize(
    ("client", "kind", "refusal"),
    [
        ("modern", "request", EraUnavailable),
        ("legacy", "request", EraUnavailable),
        ("legacy", "notification", EraUnavailable),
        ("legacy", "stream", MethodNotAllowed),
        ("legacy", "end", MethodNotAllowed),
    ],
)
async def test_without_a_bridge_the_other_era_is_refused(client: Era, kind: Kind, refusal: type[Refusal]) -> None:
    """MCP-02"""
    unbridged = Unbridged(Inner("legacy" if client == "modern" else "modern"))
    with pytest.raises(refusal) as refused:
        await unbridged.send(make_call(era=client, kind=kind))
    assert refused.value.detail == "another era"
    assert (await unbridged.health(), unbridged.name) == ({"state": "healthy"}, "one")


class Telling(Inner):
    """Can tell beforehand, or not yet."""

    def __init__(self, era: Era, spoken: frozenset[Era] | None) -> None:
        super().__init__(era)
        self.spoken = spoken
        self.asked = 0

    async def send(self, call: Call, /) -> Reply:
        self.asked += 1
        return await super().send(call)


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("server", ["modern", "legacy"])
@pytest.mark.parametrize("client", ["modern", "legacy"])
async def test_a_server_that_can_tell_need_not_refuse(server: Era, client: Era, is_known: bool) -> None:
    inner = Telling(server, frozenset({server}) if is_known else None)
    bridged = Bridged(inner, Crossing(b"to legacy"), Crossing(b"to modern"))
    expected = b"inner" if server == client else b"to " + server.encode()
    assert (await bridged.send(make_call(era=client))).body == expected
    assert inner.asked == (server == client or not is_known)


async def test_one_that_has_changed_meanwhile_still_refuses() -> None:
    inner = Telling("legacy", frozenset({"modern"}))
    bridged = Bridged(inner, Crossing(b"to legacy"), Crossing(b"to modern"))
    assert (await bridged.send(make_call(era="modern"))).body == b"to legacy"
