"""RATE-07: what the lists, the scores and the table of blocks decide."""

import pytest

from mantlet.core.clock import Clock
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    Denied,
    InvalidCredential,
    NotFound,
    RateLimited,
    Refusal,
    SessionNotFound,
    Unauthenticated,
    UnsupportedVersion,
)
from mantlet.policies.addresses.blocks import Blocks
from mantlet.policies.addresses.config import AddressesConfig
from mantlet.policies.addresses.evidence import Score, Scores, decayed, weight
from mantlet.policies.addresses.rules import Rules, networks, source_of, standing
from mantlet.policies.addresses.table import MAX_BLOCKS, Block, changed, decode, next_block
from mantlet.stores.state import MemoryState


def limited(is_global: bool) -> RateLimited:
    return RateLimited(name="x", limit=1, window_s=1, remaining=0, reset_s=0, retry_after_s=1, is_global=is_global)


@pytest.mark.parametrize(
    ("allow", "deny", "peer", "is_denied"),
    [
        ([], [], "192.0.2.1", False),
        ([], ["192.0.2.0/24"], "192.0.2.1", True),
        ([], ["::ffff:192.0.2.0/120"], "192.0.2.1", True),
        (["192.0.2.0/24"], [], "192.0.2.1", False),
        (["192.0.2.0/24"], [], "198.51.100.1", True),
        (["192.0.2.0/24"], [], "2001:db8::1", True),
        (["192.0.2.0/24"], ["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.0/24"], [], "unknown", True),
        (["192.0.2.0/24"], [], "local", False),
    ],
)
def test_deny_wins_and_allow_means_only_those(allow: list[str], deny: list[str], peer: str, is_denied: bool) -> None:
    assert standing(Rules(networks(allow), networks(deny)), peer).is_denied == is_denied


def test_a_source_is_an_ipv4_address_or_an_ipv6_64() -> None:
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8::1") == source_of("2001:db8::/64") == "2001:db8::/64"
    for text in ("", "x", "192.0.2.0/24", "2001:db8::/32"):
        with pytest.raises(ValueError):
            source_of(text)


@pytest.mark.parametrize("section", [{"deny": ["x"]}, {"allow": ["192.0.2.1/24"]}])
def test_a_list_that_is_no_list_of_networks_is_an_error(section: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError):
        AddressesConfig(**section)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("refusal", "rpc_id", "points"),
    [
        (InvalidCredential(), None, 1.0),
        (Unauthenticated(), None, 0.2),
        (NotFound(), None, 1.0),
        (NotFound(), b"1", 0.0),
        (SessionNotFound(), None, 0.0),
        (limited(False), None, 0.2),
        (limited(True), None, 0.0),
        (UnsupportedVersion("x", []), None, 0.0),
        (Denied(), None, 0.0),
        (Refusal(), None, 0.0),
    ],
)
def test_only_what_the_peer_did_counts(refusal: Refusal, rpc_id: bytes | None, points: float) -> None:
    assert weight(refusal, Trail("r", "http", "192.0.2.1", 0.0, rpc_id=rpc_id)) == points


def test_scores_halve_and_are_bounded() -> None:
    assert decayed(Score(8, 0), now_s=120, half_life_s=60) == 2
    scores = Scores(60, max_sources=2)
    for source in ("a", "b", "c"):
        scores.add(source, 1, 0)
    assert len(scores) == 2
    assert scores.add("a", 1, 0) == 1
    assert scores.add("c", 1, 60) == 1.5


def test_each_relapse_doubles_the_block_up_to_the_longest() -> None:
    block, lengths = None, []
    for _ in range(4):
        block = next_block(block, now_s=0, block_s=300, max_s=1000, reason="x")
        lengths.append(block.until_s)
    assert lengths == [300, 600, 1000, 1000]


def test_the_table_forgets_what_ended_long_ago_and_is_bounded() -> None:
    table = {str(n): Block(100 + n, 0, 1, "x") for n in range(MAX_BLOCKS + 1)}
    assert changed(table, {}, now_s=0, memory_s=10).keys() == table.keys() - {"0"}
    assert changed({"a": Block(5, 0, 1, "x")}, {}, now_s=16, memory_s=10) == {}
    assert decode(None) == decode(b"nonsense") == {}


class Two:
    """Two processes with one store."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.forgotten: list[str] = []
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.state = MemoryState(clock)
        self.one, self.other = (
            Blocks(self.state, clock, block_s=300, max_s=1000, forgotten=self.forgotten.append) for _ in range(2)
        )


async def test_what_one_process_blocks_and_unblocks_the_other_does_too() -> None:
    two = Two()
    two.one.add("192.0.2.1", "x")
    two.other.add("192.0.2.2", "y")
    assert two.one.of("192.0.2.1")
    assert not two.other.of("192.0.2.1")
    await two.one.sync()
    await two.other.sync()
    await two.one.sync()
    assert two.one.in_force().keys() == two.other.in_force().keys() == {"192.0.2.1", "192.0.2.2"}
    assert two.other.remove("192.0.2.1")
    await two.other.sync()
    await two.one.sync()
    assert two.one.of("192.0.2.1") is None
    assert "192.0.2.1" in two.forgotten


async def test_a_block_ends_by_the_clock_and_a_relapse_anywhere_is_longer() -> None:
    two = Two()
    two.one.add("192.0.2.1", "x")
    await two.one.sync()
    await two.other.sync()
    two.now_s += 301
    assert two.one.of("192.0.2.1") is None
    assert two.other.add("192.0.2.1", "x").until_s == two.now_s + 600


async def test_a_store_that_lost_everything_pardons_nobody() -> None:
    two = Two()
    two.one.add("192.0.2.1", "x")
    await two.one.sync()
    await two.state.drop(("blocked", "table"))
    await two.state.drop(("blocked", "version"))
    await two.one.sync()
    await two.other.sync()
    assert two.one.of("192.0.2.1")
    assert two.other.of("192.0.2.1")
