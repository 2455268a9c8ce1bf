"""Session ids (MCP-04)."""

import pytest
from tests.upstreams.transports.channel.support import PlainSealer, caller

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidRequest, SessionNotFound
from mantlet.upstreams.transports.channel import sessions
from mantlet.upstreams.transports.channel.session_ids import LIFE_S
from mantlet.upstreams.transports.channel.sessions import Session, Sessions
from mantlet.wire.event_stream import EventStream

IDLE_S = 3600.0


class Bench:
    def __init__(self, max_sessions: int = 10) -> None:
        self.now_s = 1000.0
        self.count = 0
        self.forgotten: list[Session] = []
        self.sealer = PlainSealer()
        self.sessions = self.make("one", max_sessions)

    def make(self, server: str, max_sessions: int = 10) -> Sessions:
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        return Sessions(server, self.sealer, clock, self.random, max_sessions, IDLE_S, self.forgotten.append)

    def random(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")


def test_a_session_opens_for_its_caller_and_keeps_its_version() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    session = bench.sessions.find(identity, caller())
    assert session.version == "2025-06-18"
    assert bench.sessions.find(identity, caller()) is session


def test_another_process_of_the_node_opens_it_too() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    assert bench.make("one").find(identity, caller()).version == "2025-06-18"


def test_foreign_forged_expired_ended_and_other_servers_ids_look_alike() -> None:
    bench = Bench()
    mine = bench.sessions.begin(caller(), "2025-06-18")
    bench.sessions.find(mine, caller())
    ended = bench.sessions.begin(caller(), "2025-06-18")
    bench.sessions.end(ended, caller())
    elsewhere = bench.make("two").begin(caller(), "2025-06-18")
    for identity, who in [
        (mine, "bob"),
        ("forged", "alice"),
        (ended, "alice"),
        (elsewhere, "alice"),
        ("x" * 9999, "alice"),
    ]:
        with pytest.raises(SessionNotFound):
            bench.sessions.find(identity, caller(who))
    bench.now_s += LIFE_S
    with pytest.raises(SessionNotFound):
        bench.sessions.find(mine, caller())
    with pytest.raises(SessionNotFound):
        bench.make("one").find(mine, caller())


def test_one_callers_session_cannot_be_ended_by_another() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    with pytest.raises(SessionNotFound):
        bench.sessions.end(identity, caller("bob"))
    assert bench.sessions.find(identity, caller())


def test_a_missing_id_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest):
        Bench().sessions.find("", caller())


def test_remembered_sessions_are_bounded_and_the_longest_unused_goes_first() -> None:
    bench = Bench(max_sessions=2)
    one, two, three = (bench.sessions.begin(caller(), "2025-06-18") for _ in range(3))
    first = bench.sessions.find(one, caller())
    second = bench.sessions.find(two, caller())
    bench.sessions.find(one, caller())
    bench.sessions.find(three, caller())
    assert bench.forgotten == [second]
    assert bench.sessions.find(one, caller()) is first
    assert len(bench.sessions) == 2
    assert bench.sessions.find(two, caller()) is not second  # anew, and empty


def test_a_session_that_rests_for_too_long_is_over() -> None:
    """MCP-04: counted from its last use, and what it left is dropped."""
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    session = bench.sessions.find(identity, caller())
    for _ in range(3):
        bench.now_s += IDLE_S - 1
        assert bench.sessions.find(identity, caller()) is session
    bench.now_s += IDLE_S
    for _ in range(2):
        with pytest.raises(SessionNotFound):
            bench.sessions.find(identity, caller())
    assert bench.forgotten == [session]
    assert len(bench.sessions) == 0


def test_one_that_was_never_used_rests_from_its_beginning() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    bench.now_s += IDLE_S
    with pytest.raises(SessionNotFound):
        bench.sessions.find(identity, caller())


def test_a_start_of_the_node_counts_as_a_use() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    bench.now_s += 2 * IDLE_S
    restarted = bench.make("one")
    bench.now_s += IDLE_S - 1
    assert restarted.find(identity, caller())


def test_a_session_with_something_under_way_does_not_rest() -> None:
    bench = Bench()
    identity = bench.sessions.begin(caller(), "2025-06-18")
    session = bench.sessions.find(identity, caller())
    session.stream = EventStream()
    bench.now_s += 2 * IDLE_S
    assert bench.sessions.find(identity, caller()) is session
    bench.now_s += 2 * IDLE_S
    session.stream = None
    bench.sessions.use(session)
    bench.now_s += IDLE_S - 1
    assert bench.sessions.find(identity, caller()) is session


def test_what_idle_sessions_left_goes_with_newcomers() -> None:
    bench = Bench(max_sessions=100)
    old = [bench.sessions.find(bench.sessions.begin(caller(), "2025-06-18"), caller()) for _ in range(4)]
    old[0].stream = EventStream()
    bench.now_s += IDLE_S
    for _ in range(3):
        bench.sessions.find(bench.sessions.begin(caller(), "2025-06-18"), caller())
    assert bench.forgotten == old[1:]


def test_last_uses_are_bounded_and_who_is_forgotten_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_USED", 2)
    bench = Bench(max_sessions=1)
    first, *others = (bench.sessions.begin(caller(), "2025-06-18") for _ in range(3))
    bench.now_s += IDLE_S - 1
    for identity in (first, *others):
        bench.sessions.find(identity, caller())
    bench.now_s += 1
    for identity in others:
        assert bench.sessions.find(identity, caller())
    with pytest.raises(SessionNotFound):
        bench.sessions.find(first, caller())
