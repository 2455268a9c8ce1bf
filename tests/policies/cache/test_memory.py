"""Bounds hold, whoever puts what (CACHE-05)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mantlet.policies.cache.memory import MAX_MARKS, OVERHEAD_BYTES, Entry, Memory


def entry(size: int = 100, tenant: str = "t", born_s: float = 0.0, ttl_s: float = 60.0, **of: Any) -> Entry[str]:
    whole: dict[str, Any] = {"stale_s": 0.0, "cost_s": 0.1, "scopes": ("",), "marks": (0,), **of}
    return Entry("x", size=size, tenant=tenant, born_s=born_s, ttl_s=ttl_s, **whole)


def memory(max_bytes: int = 10_000, max_entries: int = 100, **of: Any) -> Memory[str]:
    return Memory(max_bytes=max_bytes, max_entries=max_entries, max_entry_bytes=5_000, **of)


def fill(kept: Memory[str], tenant: str, count: int, size: int = 500) -> None:
    for number in range(count):
        kept.put(f"{tenant}{number}".encode(), entry(size, tenant), 0.0)


def test_what_was_used_outlasts_what_was_not() -> None:
    kept = memory(max_entries=3)
    for name in (b"a", b"b", b"c"):
        kept.put(name, entry(), 0.0)
    assert kept.get(b"a", 1.0)
    kept.put(b"d", entry(), 1.0)
    assert [name for name in (b"a", b"b", b"c", b"d") if kept.get(name, 1.0)] == [b"a", b"c", b"d"]


def test_what_is_looked_for_all_the_time_survives_a_flood_of_what_is_not() -> None:
    kept = memory(max_entries=50)
    kept.put(b"hot", entry(), 0.0)
    for number in range(10_000):
        assert kept.get(b"hot", 0.0)
        kept.put(b"%d" % number, entry(), 0.0)


def test_an_entry_is_there_for_its_time_and_its_stale_time() -> None:
    kept = memory()
    kept.put(b"a", entry(ttl_s=10.0, stale_s=5.0), 0.0)
    fresh = kept.get(b"a", 9.9)
    assert fresh is not None
    assert fresh.over_s(9.9) < 0
    assert kept.get(b"a", 14.9)
    assert kept.get(b"a", 15.0) is None
    assert (len(kept), kept.size) == (0, 0)


def test_the_dead_go_without_being_looked_for() -> None:
    kept = memory()
    fill(kept, "t", 5)
    for number in range(5):
        kept.put(b"new%d" % number, entry(born_s=100.0), 100.0)
    assert len(kept) == 5
    kept.marks.forget("")
    for number in range(5):
        kept.put(b"newer%d" % number, entry(born_s=100.0, marks=(1,)), 100.0)
    assert len(kept) == 5


def test_a_tenant_has_its_share_and_no_more_where_there_are_several() -> None:
    went: list[str] = []
    kept = memory(max_bytes=20 * (500 + OVERHEAD_BYTES), tenant_share=0.5, evicted=went.append)
    fill(kept, "big", 30)
    assert len(kept) == 20, "alone, it has all"
    fill(kept, "small", 5)
    assert all(kept.get(f"small{number}".encode(), 0.0) for number in range(5))
    fill(kept, "big", 30)
    assert all(kept.get(f"small{number}".encode(), 0.0) for number in range(5))
    assert sum(kept.get(f"big{number}".encode(), 0.0) is not None for number in range(30)) == 10
    assert "room" in went


def test_what_cannot_fit_is_not_kept_and_takes_no_room_from_others() -> None:
    kept = memory()
    fill(kept, "t", 5)
    kept.put(b"huge", entry(5_001), 0.0)
    assert kept.get(b"huge", 0.0) is None
    assert len(kept) == 5
    kept.put(b"t0", entry(5_001), 0.0)
    assert kept.get(b"t0", 0.0) is None, "nor does what it stood in for remain"


def test_more_scopes_than_there_is_room_for_make_everything_old() -> None:
    kept = memory()
    for scope in ("a", "never named"):
        kept.put(scope.encode(), entry(scopes=(scope,), marks=kept.marks.of((scope,))), 0.0)
    for number in range(MAX_MARKS):
        kept.marks.forget(f"{number}")
    assert kept.get(b"a", 0.0)
    kept.marks.forget("one more")
    assert kept.get(b"a", 0.0) is None
    assert kept.get(b"never named", 0.0) is None
    kept.put(b"a", entry(scopes=("a",), marks=kept.marks.of(("a",))), 0.0)
    assert kept.get(b"a", 0.0)


def test_one_goes_though_all_were_used() -> None:
    kept = memory(max_bytes=10_000_000, max_entries=1_000)
    fill(kept, "t", 1_000)
    for number in range(1_000):
        assert kept.get(f"t{number}".encode(), 0.0)
    kept.put(b"new", entry(), 0.0)
    assert len(kept) == 1_000
    assert kept.get(b"new", 0.0)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "drop", "forget"]),
        st.integers(0, 20),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 6_000),
        st.floats(0, 5),
    ),
    max_size=80,
)


@given(OPERATIONS, st.floats(0.1, 1.0))
def test_bounds_hold_after_every_step(operations: list[tuple[str, int, str, int, float]], share: float) -> None:
    kept = memory(max_entries=8, tenant_share=share)
    now_s = 0.0
    for what, number, tenant, size, step_s in operations:
        now_s += step_s
        key = b"%d" % number
        if what == "put":
            kept.put(key, entry(size, tenant, now_s, 10.0, marks=kept.marks.of(("",))), now_s)
        elif what == "get":
            found = kept.get(key, now_s)
            assert found is None or now_s - found.born_s < 10.0
        elif what == "drop":
            kept.drop(key)
        else:
            kept.marks.forget("")
        assert kept.size <= 10_000
        assert len(kept) <= 8
        assert kept.size == sum(shelf.size for shelf in kept._shelves.values())
        assert len(kept) == sum(len(shelf.entries) for shelf in kept._shelves.values())
        assert all(shelf.entries for shelf in kept._shelves.values())
    kept.clear()
    assert (len(kept), kept.size) == (0, 0)
